import ClinicSyncModel
import Foundation

/// Certificates and signed entries of a clinic that never was, made once by this program, so that runs can be repeated.
///
/// They must stay readable: nodes of this version have such files.
enum SignedSamples {
    /// Whose key ``certificateRequest`` is signed with.
    static let grantee = NodeID("5sey9m8k04rx9834n3rhn6jrgn")

    /// The authority that signed the others; its private key is nowhere any more.
    static let authority = bytes(
        """
        MIIBejCCAR+gAwIBAgIQU35+YMnn4XNeiA1nJBBF1DAKBggqhkjOPQQDAjAbMRkwFwYDVQQDDBBjbGluaWMgYXV0aG9yaXR5MB4X
        DTI2MTAxOTExMDY0MFoXDTM2MTExNTExMDY0MFowGzEZMBcGA1UEAwwQY2xpbmljIGF1dGhvcml0eTBZMBMGByqGSM49AgEGCCqG
        SM49AwEHA0IABPU5zRrDZ06PzKGS2x1eqYywrkicKLirIjgXERjk8yWUd1ax7eadOCFbMLF7N6zTGkjJc2scgUoUATQItXACTJuj
        RTBDMBIGA1UdEwEB/wQIMAYBAf8CAQEwDgYDVR0PAQH/BAQDAgIEMB0GA1UdDgQWBBQQFUEqQJNiMcdrIXLJltzXa7BvVjAKBggq
        hkjOPQQDAgNJADBGAiEA0D1/zkR4LbOg8LmbrC8ubMr11B9qwrjEo+pg3sI84zsCIQCylCUYsWtnm8DT1xMYYEU6EYwwXtpmhkTv
        pPFAwj20HA==
        """
    )

    /// The right to sign, given to ``grantee``.
    static let grant = bytes(
        """
        MIIB6jCCAZCgAwIBAgIQfU6AVL5buOJ4vlBZi5VcPzAKBggqhkjOPQQDAjAbMRkwFwYDVQQDDBBjbGluaWMgYXV0aG9yaXR5MB4X
        DTI2MTAxOTExMDY0MFoXDTM2MTExNTExMDY0MFowLDEqMCgGA1UEAwwhc2lnbmVyIDVzZXk5bThrMDRyeDk4MzRuM3JobjZqcmdu
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEVHKmPlonB8ZFazosZhypKwqziC5eYa5kmL7Sz7/nktQPjFGkV4qFIgBZP9M2exoA
        wSIU+S8jl49bf2TYuNCFb6OBpDCBoTASBgNVHRMBAf8ECDAGAQH/AgEAMA4GA1UdDwEB/wQEAwICBDA7BgNVHREENDAyhjB1cm46
        Y2xpbmljc3luYzpzaWduZXI6NXNleTltOGswNHJ4OTgzNG4zcmhuNmpyZ24wHQYDVR0OBBYEFHvnC+fMpVex+TbNIa9eeI2h58BD
        MB8GA1UdIwQYMBaAFBAVQSpAk2Ixx2shcsmW3NdrsG9WMAoGCCqGSM49BAMCA0gAMEUCIF+zvQRQmb+IGD+/9NjGGiKSoU/E8Hpg
        a/mc0tFIR0JSAiEAyMSRKkx8UDHgi13LLEEL7UE6YBUaMHdp5oXeTmg53to=
        """
    )

    /// A revocation by the authority that vouches for two members.
    static let revocation = bytes(
        """
        Y2xpbmljc3luYyByZXZvY2F0aW9uIDEKbV212OkVefeuA6kQbIrMswAAAAAAAAABAAAAAAAAAAEAAAAAAAAAAgAAAaHuVl4AAAIA
        AAAAAAAAAwAAAAAAAAAEAAAAAAAAAAUAAAAAAAAABgC6FFO1FJTg0zp4dwDY6cRnyvu7ABNV0YLZ6/S06mufKuhuQ4j3CmxNnrn6
        wBGCgOrttKl2hdG66hUg1w5IkTAM
        """
    )

    /// A revocation by the grantee, with its chain.
    static let revocationByGrantee = bytes(
        """
        Y2xpbmljc3luYyByZXZvY2F0aW9uIDEKbV212OkVefeuA6kQbIrMswAAAAAAAAACAAAAAAAAAAEAAAAAAAAAAgAAAaHuVl4AAAAB
        Ae4wggHqMIIBkKADAgECAhB9ToBUvlu44ni+UFmLlVw/MAoGCCqGSM49BAMCMBsxGTAXBgNVBAMMEGNsaW5pYyBhdXRob3JpdHkw
        HhcNMjYxMDE5MTEwNjQwWhcNMzYxMTE1MTEwNjQwWjAsMSowKAYDVQQDDCFzaWduZXIgNXNleTltOGswNHJ4OTgzNG4zcmhuNmpy
        Z24wWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARUcqY+WicHxkVrOixmHKkrCrOILl5hrmSYvtLPv+eS1A+MUaRXioUiAFk/0zZ7
        GgDBIhT5LyOXj1t/ZNi40IVvo4GkMIGhMBIGA1UdEwEB/wQIMAYBAf8CAQAwDgYDVR0PAQH/BAQDAgIEMDsGA1UdEQQ0MDKGMHVy
        bjpjbGluaWNzeW5jOnNpZ25lcjo1c2V5OW04azA0cng5ODM0bjNyaG42anJnbjAdBgNVHQ4EFgQUe+cL58ylV7H5Ns0hr154jaHn
        wEMwHwYDVR0jBBgwFoAUEBVBKkCTYjHHayFyyZbc12uwb1YwCgYIKoZIzj0EAwIDSAAwRQIgX7O9BFCZv4gYP7/02MYaIpKhT8Tw
        emBr+ZzS0UhHQlICIQDIxJEqTHxQMeCLXcssQQvtQTpgFRowd2nmhd5OaDne2k7Ij+RsakfPg+i3K1gmHrfEAF1QhELpQ0/klxfG
        s9+9U7YVBms2KKvfc6ZZquns/ljNnDtqp3mS7w/wz7axvbQ=
        """
    )

    /// The grantee's request for a certificate.
    static let certificateRequest = bytes(
        """
        MIHgMIGHAgEAMCUxIzAhBgNVBAMMGjVzZXk5bThrMDRyeDk4MzRuM3JobjZqcmduMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
        VHKmPlonB8ZFazosZhypKwqziC5eYa5kmL7Sz7/nktQPjFGkV4qFIgBZP9M2exoAwSIU+S8jl49bf2TYuNCFb6AAMAoGCCqGSM49
        BAMCA0gAMEUCIQDM48kf8CRRmZVCEbbd/O2TMA3jIQpxxyZ1JNGsDbeqbQIgPVxwSoQJbagx4dOUn1vLrQhZxfh+RcC5pNgRjuEr
        H48=
        """
    )

    /// A certificate that the grantee signed for itself, as a PC that wants to join does.
    static let applicant = bytes(
        """
        MIIBwjCCAWigAwIBAgIQVlpKNZKF0o6U3mRZgSwckTAKBggqhkjOPQQDAjAlMSMwIQYDVQQDDBo1c2V5OW04azA0cng5ODM0bjNy
        aG42anJnbjAeFw0yNjExMTYxMTA2NDBaFw0yNjExMjAxMTA2NDBaMCUxIzAhBgNVBAMMGjVzZXk5bThrMDRyeDk4MzRuM3JobjZq
        cmduMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEVHKmPlonB8ZFazosZhypKwqziC5eYa5kmL7Sz7/nktQPjFGkV4qFIgBZP9M2
        exoAwSIU+S8jl49bf2TYuNCFb6N6MHgwDAYDVR0TAQH/BAIwADAOBgNVHQ8BAf8EBAMCB4AwHQYDVR0lBBYwFAYIKwYBBQUHAwEG
        CCsGAQUFBwMCMDkGA1UdEQQyMDCGLnVybjpjbGluaWNzeW5jOm5vZGU6NXNleTltOGswNHJ4OTgzNG4zcmhuNmpyZ24wCgYIKoZI
        zj0EAwIDSAAwRQIgdCc9LRdbDCR6GbNVQ5TFlnQHPgcMu7NqWKBexEKK5ZYCIQDzoJ+4E5EJqI55heXi18vJ/mVhSk7sGXaNLg6m
        AscC0Q==
        """
    )

    /// A certificate that the grantee signed with its right.
    static let leaf = bytes(
        """
        MIIB7DCCAZKgAwIBAgIQT8oH9INpNb68gqi4NWc0lDAKBggqhkjOPQQDAjAsMSowKAYDVQQDDCFzaWduZXIgNXNleTltOGswNHJ4
        OTgzNG4zcmhuNmpyZ24wHhcNMjYxMTE2MTEwNjQwWhcNMjYxMjE4MTEwNjQwWjAlMSMwIQYDVQQDDBo1c2V5OW04azA0cng5ODM0
        bjNyaG42anJnbjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABFRypj5aJwfGRWs6LGYcqSsKs4guXmGuZJi+0s+/55LUD4xRpFeK
        hSIAWT/TNnsaAMEiFPkvI5ePW39k2LjQhW+jgZwwgZkwDAYDVR0TAQH/BAIwADAOBgNVHQ8BAf8EBAMCB4AwHQYDVR0lBBYwFAYI
        KwYBBQUHAwEGCCsGAQUFBwMCMDkGA1UdEQQyMDCGLnVybjpjbGluaWNzeW5jOm5vZGU6NXNleTltOGswNHJ4OTgzNG4zcmhuNmpy
        Z24wHwYDVR0jBBgwFoAUe+cL58ylV7H5Ns0hr154jaHnwEMwCgYIKoZIzj0EAwIDSAAwRQIhANnj/UVf6ErkI95J/ZwTr2m5eP0v
        wuIyx7YL7GGkREJLAiBdY4t6XjDe7jmXQ+1+E0Eat1FhQiAaRWrZg5Np9F082g==
        """
    )

    /// The authority of the clinic of ``nodeStatement`` and the names; its private key is nowhere any more.
    static let namingAuthority = bytes(
        """
        MIIBeDCCAR+gAwIBAgIQRHR5OeYYlbbqUrxUVntdijAKBggqhkjOPQQDAjAbMRkwFwYDVQQDDBBjbGluaWMgYXV0aG9yaXR5MB4XDTI2
        MTAyMjEyMDAwMFoXDTM2MTExODEyMDAwMFowGzEZMBcGA1UEAwwQY2xpbmljIGF1dGhvcml0eTBZMBMGByqGSM49AgEGCCqGSM49AwEH
        A0IABCRunFkOWAa9DobP63Qr06UoQMnr4BxHZYSeW9TL/IMcSZrUYNEc0whsWAom/x8R6Jjcf4/mEPjhtBAkId9XasmjRTBDMBIGA1Ud
        EwEB/wQIMAYBAf8CAQEwDgYDVR0PAQH/BAQDAgIEMB0GA1UdDgQWBBTAbAfyt3Z2QyGsSVUChoEKiHX0jzAKBggqhkjOPQQDAgNHADBE
        AiB/Svk3e3tjuOM/+DqFcMerRuDsNNkGFK3xdVXd+TODuQIgNvH3MiY92JsFjBtMDshuo2BhS4ohEH8K/gQfShJxe8M=
        """
    )

    /// What a member of that clinic says of itself.
    static let nodeStatement = bytes(
        """
        Y2xpbmljc3luYyBub2RlIDEKUjns+LwjmeKtROjF6+61HQA+RFGr+/YsYq8fRW/Xh4wAAAAAAAAAAwRy+rqbcY3Ym43YP2fLFYHAqHLb
        T3gDdDrf/3Q4d5coU1njAikOSiYhnpGILZQrzR0bPqVvDIiKVrpYOrXkr+0dCkZyb250IGRlc2sAHzE5Mi4xNjguMS43Ojc0NTAgW2Zl
        ODA6OjFdOjc0NTAFMS4yLjMAAAAOAAABoftnGABwPATFsXabYI8lmU2wgJSk89GvKyqM9GuhLPO/+iy4BtThvJ1kiZDIKnqgJKVGKXuT
        XW7BA+kPPeoPPPui3glr
        """
    )

    /// A name that the authority gave.
    static let nameStatement = bytes(
        """
        Y2xpbmljc3luYyBuYW1lIDEKUjns+LwjmeKtROjF6+61HQAAAAAAAAABAAAAAAAAAAIAAAAAAAAABAVMYWJvcgCE1fbr96sOGBVTUWKh
        PHL+onWIqj/dSTnQlJAjccQv2kIzpKE02dvDq8y8yJG18zuxi0VVq/KldqVp4cX5tjZw
        """
    )

    /// A name that a node with a grant gave, with its chain.
    static let nameStatementByGrantee = bytes(
        """
        Y2xpbmljc3luYyBuYW1lIDEKUjns+LwjmeKtROjF6+61HQAAAAAAAAABAAAAAAAAAAIAAAAAAAAABQdFbXBmYW5nAQHuMIIB6jCCAZCg
        AwIBAgIQeTmie/h/XGeMGtzV83v08jAKBggqhkjOPQQDAjAbMRkwFwYDVQQDDBBjbGluaWMgYXV0aG9yaXR5MB4XDTI2MTAyMjEyMDAw
        MFoXDTM2MTExODEyMDAwMFowLDEqMCgGA1UEAwwhc2lnbmVyIDAwN3MyNTNhenZ5cnA2NWJyejhucXhmMXdjMFkwEwYHKoZIzj0CAQYI
        KoZIzj0DAQcDQgAEcvq6m3GN2JuN2D9nyxWBwKhy2094A3Q63/90OHeXKFNZ4wIpDkomIZ6RiC2UK80dGz6lbwyIila6WDq15K/tHaOB
        pDCBoTASBgNVHRMBAf8ECDAGAQH/AgEAMA4GA1UdDwEB/wQEAwICBDA7BgNVHREENDAyhjB1cm46Y2xpbmljc3luYzpzaWduZXI6MDA3
        czI1M2F6dnlycDY1YnJ6OG5xeGYxd2MwHQYDVR0OBBYEFKHlYU39p9xfJIlllNoe/hLfmH3mMB8GA1UdIwQYMBaAFMBsB/K3dnZDIaxJ
        VQKGgQqIdfSPMAoGCCqGSM49BAMCA0gAMEUCIHBwG9GgB9P97quNbFtF9PYa+v2TV4yWesLri8BZtaLTAiEA6fVj5cDu0qxgijM3rT5q
        sdFN5FtRoppVswkvvWPE40sLTJcoymjWJ24O/8BPWOc71+5pdV26qlKB44cYzxo2EMUABlFzZS85O6HqR9jBk7OEW7U9upUX8tEBsNGl
        ph6Z
        """
    )

    private static func bytes(_ base64: String) -> [UInt8] {
        Array(Data(base64Encoded: base64, options: .ignoreUnknownCharacters) ?? Data())
    }
}

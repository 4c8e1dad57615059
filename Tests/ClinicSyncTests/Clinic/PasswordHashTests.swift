import Foundation
import Testing

@testable import ClinicSyncClinic

@Suite("What is stored of a password", .timeLimit(.minutes(2))) struct PasswordHashTests {
    /// Parameters that are cheap enough for tests.
    private static let cheap = ScryptParameters(logCost: 4, blockSize: 8, passes: 1)

    private static func bytes(hex: String) -> [UInt8] {
        let digits = Array(hex.filter { !$0.isWhitespace })
        return stride(from: 0, to: digits.count, by: 2).compactMap { UInt8(String(digits[$0...($0 + 1)]), radix: 16) }
    }

    @Test(
        "scrypt gives the vectors of RFC 7914, section 12",
        arguments: [
            (
                "password", "NaCl", ScryptParameters(logCost: 10, blockSize: 8, passes: 16),
                """
                fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162\
                2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640
                """
            ),
            (
                "pleaseletmein", "SodiumChloride", ScryptParameters(logCost: 14, blockSize: 8, passes: 1),
                """
                7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2\
                d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887
                """
            ),
        ]
    )
    func vectors(password: String, salt: String, parameters: ScryptParameters, expected: String) throws {
        let derived = try parameters.derive(Array(password.utf8), salt: Array(salt.utf8), count: 64)
        #expect(derived == PasswordHashTests.bytes(hex: expected))
    }

    @Test("a hash that Python's passlib made is verified")
    func passlib() throws {
        let stored = "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E"
        #expect(try PasswordHash.check("password", against: stored) == .matches(isWeak: true))
        #expect(try PasswordHash.check("Password", against: stored) == .differs)
        #expect(ScryptHash(stored)?.description == stored)
    }

    @Test("a new hash has the standard parameters, a salt of its own, and fits its password alone")
    func standard() throws {
        let stored = try PasswordHash.make("correct horse")
        #expect(stored.hasPrefix("$scrypt$ln=15,r=8,p=3$"))
        #expect(try PasswordHash.check("correct horse", against: stored) == .matches(isWeak: false))
        let others = try (0..<3).map { _ in try PasswordHash.make("correct horse", parameters: PasswordHashTests.cheap)
        }
        #expect(Set(others).count == 3)
        for wrong in ["correct hors", "correct horse ", "Correct horse", ""] {
            #expect(try PasswordHash.check(wrong, against: others[0]) == .differs, "\(wrong)")
        }
        #expect(try PasswordHash.check("correct horse", against: others[0]) == .matches(isWeak: true))
    }

    @Test("accents count as they are seen, however the keyboard makes them")
    func normalised() throws {
        let stored = try PasswordHash.make("contrase\u{F1}a!", parameters: PasswordHashTests.cheap)
        let check = try PasswordHash.check(
            "contrasen\u{303}a!",
            against: stored,
            parameters: PasswordHashTests.cheap
        )
        #expect(check == .matches(isWeak: false))
    }

    @Test("a new password has 8 characters and no more than 1 024 bytes")
    func lengths() throws {
        for wrong in ["", "seven77", String(repeating: "x", count: 1_025), String(repeating: "é", count: 513)] {
            #expect(throws: ClinicRefusal(.usage, "")) {
                try PasswordHash.make(wrong, parameters: PasswordHashTests.cheap)
            }
        }
        for right in ["eight888", "éééééééé", String(repeating: "x", count: 1_024)] {
            let stored = try PasswordHash.make(right, parameters: PasswordHashTests.cheap)
            #expect(try PasswordHash.check(right, against: stored) == .matches(isWeak: true))
            #expect(try PasswordHash.check(right + "x", against: stored) == .differs)
        }
    }

    @Test(
        "bcrypt gives the vectors of its public test suites",
        arguments: [
            // Openwall's crypt_blowfish, wrapper.c.
            ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
            ("U*U*", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"),
            ("U*U*U", "$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"),
            // The same in Python's bcrypt and passlib.
            ("abc", "$2a$10$WvvTPHKwdBJ3uk0Z37EMR.hLA2W6N9AEBhEgrAOljy2Ae5MtaSIUi"),
        ]
    )
    func bcrypt(password: String, stored: String) throws {
        #expect(try PasswordHash.check(password, against: stored) == .matches(isWeak: true))
        #expect(try PasswordHash.check(password + "x", against: stored) == .differs)
        #expect(try PasswordHash.check("", against: stored) == .differs)
        #expect(try PasswordHash.check(password + "\0x", against: stored) == .differs)
    }

    @Test("bcrypt is asked for nothing that would take minutes, or that its own text does not show")
    func bcryptLimits() throws {
        let tail = "CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
        for method in ["2a", "2b", "2y"] { #expect(BcryptHash("$\(method)$15$\(tail)") != nil) }
        let refused = [
            "$2a$16$\(tail)", "$2a$31$\(tail)", "$2a$03$\(tail)", "$2x$05$\(tail)", "$2$05$\(tail)", "$2a$5$\(tail)C",
            "$2a$05$\(tail)C", "$2a$05$\(tail.dropLast())", "$2a$05$\(tail.dropLast())-", "$2a$0x$\(tail)",
            "x$2a$05$\(tail)",
        ]
        for stored in refused {
            #expect(BcryptHash(stored) == nil, "\(stored)")
            #expect(try PasswordHash.check("U*U", against: stored) == .unsupported, "\(stored)")
        }
    }

    @Test(
        "what is no hash, or asks for too much, is refused and never compared",
        arguments: [
            "", "password", "5f4dcc3b5aa765d61d8327deb882cf99", "sha256:00", "$1$salt$qJH7.N4xYta3aEG/dfqo/0",
            "$6$salt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9AjRbLCelDCy.g.",
            "$scrypt$ln=18,r=8,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
            "$scrypt$ln=15,r=17,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
            "$scrypt$ln=15,r=8,p=5$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
            "$scrypt$ln=0,r=8,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
            "$scrypt$ln=-1,r=8,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA", "$scrypt$ln=4,r=8,p=1$$AAAAAAAAAAAAAAAAAAAAAA",
            "$scrypt$ln=4,r=8,p=1$AAAAAAAAAAA$", "$scrypt$ln=4,r=8,p=1$AAAAAAAAAAA$AAAA",
            "$scrypt$ln=04,r=8,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
            "$scrypt$r=8,ln=4,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
            "$scrypt$ln=4,r=8$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
            "$scrypt$ln=4,r=8,p=1$AAAAAAAAAAB$AAAAAAAAAAAAAAAAAAAAAA",
            "$scrypt$ln=4,r=8,p=1$AAAAAAAAAAA=$AAAAAAAAAAAAAAAAAAAAAA",
            "$scrypt$ln=4,r=8,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA$",
            "$scrypt$ln=4,r=8,p=1$AAAAAAA*AAA$AAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        ]
    )
    func unsupported(stored: String) throws {
        #expect(try PasswordHash.check("password", against: stored) == .unsupported)
        #expect(try PasswordHash.check(stored, against: stored) == .unsupported)
    }

    @Test("a row with a text of megabytes is refused at once")
    func longRow() throws {
        let stored = "$scrypt$ln=4,r=8,p=1$" + String(repeating: "A", count: 1 << 22) + "$AAAAAAAAAAAAAAAAAAAAAA"
        #expect(try PasswordHash.check("password", against: stored) == .unsupported)
    }
}

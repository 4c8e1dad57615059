import ClinicSyncModel
import ClinicSyncWire
import Testing

@Suite("Golden bytes of the wire format")
struct GoldenTests {
    /// The samples' bytes with term 1.
    ///
    /// `protoc --decode` agrees with them.
    static let golden = [
        "0801128902080112036b37712a07456d7066616e673205312e322e33380452103139322e3136382e312e"
            + "373a37343530520e5b666538303a3a315d3a373435305a2b0a2000112233445566778899aabbccddeeff"
            + "0102030405060708090a0b0c0d0e0f10120200021a03ac020762190a150a1000112233445566778899aa"
            + "bbccddeeff18ac02100368808080047278080210091a1e0809121a086410f0a204180722100011223344"
            + "5566778899aabbccddeeff22103139322e3136382e312e373a373435302a1a086410f0a2041807221000"
            + "112233445566778899aabbccddeeff32240a100102030405060708090a0b0c0d0e0f1012103139322e31"
            + "36382e312e383a3734353078fbbcd9f29e34",
        "08011a020806",
        "080122020805",
        "08012a09080510fbbcd9f29e34",
        "080132490a150a1000112233445566778899aabbccddeeff18ac021a22090100005e56eea10112150a1001"
            + "02030405060708090a0b0c0d0e0f101a0106180429efcdab89674523013203010203",
        "080132240a150a1000112233445566778899aabbccddeeff18ac0210012001290100000000000000",
        "08013a310a2b0a200102030405060708090a0b0c0d0e0f1000112233445566778899aabbccddeeff120202"
            + "001a0307ac0210f0a204",
        "08014221080b12001a1b0a0562696c6c7310021a1000000000000000010000000000000002",
        "08014a44080b120562696c6c731a020a00220919000000000000f83f2a04220262312a0210013220000000"
            + "0000000003000000000000000400000000000000050000000000000006",
        "08015214080b120562696c6c731a01ff22042a0200012801",
        "08015a020815",
        "0801620408151200",
        "08016a06081510011803",
        "08017223081510021803221b0a1000112233445566778899aabbccddeeff12054c61626f721803",
        "08018a01040a020708",
        "0801920178080210091a1e0809121a086410f0a2041807221000112233445566778899aabbccddeeff22"
            + "103139322e3136382e312e373a373435302a1a086410f0a2041807221000112233445566778899aabbcc"
            + "ddeeff32240a100102030405060708090a0b0c0d0e0f1012103139322e3136382e312e383a37343530",
        "080192011e10092a1a086410f0a2041807221000112233445566778899aabbccddeeff",
        "08019a0100",
        "0801a201120a100102030405060708090a0b0c0d0e0f10",
        "0801aa015f0803120273311a0275312203616e612a1a3030323468333668326e63737672683664617166"
            + "36647676717a3207456d7066616e673a20000102030405060708090a0b0c0d0e0f101112131415161718"
            + "191a1b1c1d1e1f40fbbcd9f29e344801",
        "0801aa01600804120273322204636c656f2a1a3030323468333668326e6373767268366461716636647676"
            + "717a3207456d7066616e673a20000102030405060708090a0b0c0d0e0f101112131415161718191a1b"
            + "1c1d1e1f40fbbcd9f29e34520400ffc328",
        "0801b2011d08031202080132150a1000112233445566778899aabbccddeeff18ac02",
        "0801b2014808041a440a420a0273301201641a054c61626f722218323032362d31312d32315431303a30"
            + "303a30302e3030305a2a18323032362d31312d32315431303a30353a30302e3030305a",
        "0801b2010408052200",
        "0801b2010408062a00",
        "0801ba01070a02090a0a010b",
        "0801c2010708e80710f0a204",
        "0801ca0106080128808040",
        "0801ca01400802122b0a2000112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f"
            + "10120200021a03ac02071a0562696c6c7322042202623128808040",
        "0801d2014e0802122b0a2000112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f"
            + "10120200021a03ac02071a0562696c6c7322042202623229efcdab8967452301320301020338014001",
        "0801da015c0803122b0a2000112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f"
            + "10120200021a03ac02071a2b0a2000112233445566778899aabbccddeeff0102030405060708090a0b0c"
            + "0d0e0f10120200021a03ac0207",
        "0801f20110080b120562696c6c731a030102032001",
        "0801fa011b080b120562696c6c731a1001000000000000000807060504030201",
        "08014259080c12001a410a0562696c6c7310021a100000000000000001000000000000000220032a1000"
            + "0000000000000300000000000000043a1000000000000000000000000000000000221000000000000000"
            + "09000000000000000a",
        "08014a0b080c120562696c6c733801",
    ]

    @Test("every message has the bytes it always had, and they read back", arguments: 0..<golden.count)
    func goldenBytes(index: Int) throws {
        let message = MessageSamples.all[index]
        let bytes = Hex.bytes(GoldenTests.golden[index])
        #expect(Hex.text(MessageCodec.encode(message, term: 1)) == GoldenTests.golden[index])
        let decoded = try MessageCodec.decode(bytes)
        #expect(decoded.message == message)
        #expect(decoded.term == 1)
    }

    @Test("there is a sample of every message")
    func samplesAreComplete() {
        #expect(MessageSamples.all.count == GoldenTests.golden.count)
        #expect(Set(MessageSamples.all.map(MessageSamples.kind)).count == 26)
    }

    @Test("close reasons keep their numbers on the wire", arguments: CloseReason.allCases)
    func closeReasons(reason: CloseReason) throws {
        let bytes = MessageCodec.encode(.goodbye(reason), term: 0)
        #expect(try MessageCodec.decode(bytes).message == .goodbye(reason))
        #expect(bytes == (reason.rawValue == 0 ? [0x1A, 0] : [0x1A, 2, 8, UInt8(reason.rawValue)]))
    }

    @Test("results keep their numbers on the wire", arguments: ReconciliationResult.allCases)
    func results(result: ReconciliationResult) throws {
        let report = Message.verifyReport(VerifyReport(id: 0, result: result, repairedRows: 0))
        let bytes = MessageCodec.encode(report, term: 0)
        #expect(try MessageCodec.decode(bytes).message == report)
        #expect(bytes == (result.rawValue == 0 ? [0x6A, 0] : [0x6A, 2, 0x10, result.rawValue]))
    }
}

/// Hexadecimal text and bytes.
enum Hex {
    static func text(_ bytes: [UInt8]) -> String {
        bytes.hexadecimal
    }

    static func bytes(_ text: String) -> [UInt8] {
        let digits = text.compactMap(\.hexDigitValue)
        return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }
}

import Testing

@testable import ClinicSync

@Suite struct UTCTimestampTests {
    @Test(
        "a moment is ISO 8601 with milliseconds",
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (1, "1970-01-01T00:00:00.001Z"), (999, "1970-01-01T00:00:00.999Z"),
            (1_763_719_200_123, "2025-11-21T10:00:00.123Z"), (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (4_102_444_799_999, "2099-12-31T23:59:59.999Z"), (1 << 47 - 1, "6429-10-17T02:45:55.327Z"),
            (-1, "1969-12-31T23:59:59.999Z"), (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] as [(Int64, String)]
    )
    func text(milliseconds: Int64, text: String) {
        #expect(UTCTimestamp(milliseconds: milliseconds).description == text)
        #expect(UTCTimestamp(text)?.milliseconds == milliseconds)
    }

    @Test("every millisecond has its own text")
    func milliseconds() {
        for milliseconds in Int64(1_763_719_200_000)..<1_763_719_202_000 {
            let moment = UTCTimestamp(milliseconds: milliseconds)
            #expect(UTCTimestamp(moment.description) == moment)
        }
    }

    @Test(
        "what is written otherwise is no moment",
        arguments: [
            "", "now", "2025-11-21", "2025-11-21T10:00:00Z", "2025-11-21T10:00:00.1Z", "2025-11-21 10:00:00.123Z",
            "2025-11-21T10:00:00.123+01:00", "2025-11-21T10:00:00.123", "2025-13-21T10:00:00.123Z",
            "2025-02-30T10:00:00.123Z", "2025-11-21T24:00:00.000Z", "2025-11-21T10:00:60.000Z",
            "x2025-11-21T10:00:00.123Z", "2025-11-21T10:00:00.123Zx", "+2025-11-21T10:00:00.123Z",
            "99999999999999999999-11-21T10:00:00.123Z",
        ]
    )
    func malformed(text: String) { #expect(UTCTimestamp(text) == nil) }

    @Test("no number of milliseconds traps")
    func extremes() {
        for milliseconds in [Int64.min, .min + 1, .max - 1, .max] {
            #expect(!UTCTimestamp(milliseconds: milliseconds).description.isEmpty)
        }
    }
}

import ClinicSyncModel
import Testing

@testable import ClinicSync

/// Makes the conflicts of the tests.
enum ConflictFixtures {
    static let nameOfAna = conflict(current: .text("Later"), other: .text("Earlier"))

    static func side(_ value: ConflictValue, _ number: Int) -> ConflictSummary.Side {
        ConflictSummary.Side(
            value: value,
            origin: "node\(number)",
            originName: "Desk \(number)",
            timestamp: UTCTimestamp(milliseconds: Int64(number))
        )
    }

    static func conflict(
        _ kind: ConflictKind = .value,
        current: ConflictValue?,
        other: ConflictValue,
        sameAuthor: Bool = false,
        count: Int = 1
    ) -> ConflictSummary {
        ConflictSummary(
            ConflictSummary.Facts(
                id: "0123456789abcdef0123456789abcdef",
                kind: kind,
                row: ConflictSummary.Row(table: "patient_bills", recordId: "r"),
                isShown: true,
                column: "totalAmount",
                current: current.map { self.side($0, sameAuthor ? 2 : 1) },
                other: self.side(other, 2),
                count: count,
                related: kind == .value ? nil : ConflictSummary.Row(table: "patient_bills", recordId: "older")
            )
        )
    }
}

@Suite struct ConflictSummaryTests {
    @Test("the sentence names PCs, values and the place in words")
    func sentence() {
        #expect(
            ConflictFixtures.nameOfAna.sentence
                == "Desk 2 and Desk 1 changed the total amount of one entry in patient bills without knowing of each other: "
                + "“Later” is shown now, “Earlier” is not."
        )
        #expect(
            ConflictFixtures.conflict(current: nil, other: .integer(5)).sentence
                == "Desk 2 entered 5 for the total amount of one entry in patient bills, but that entry was deleted."
        )
        let again = ConflictFixtures.conflict(current: .null, other: .number(2.5), sameAuthor: true).sentence
        #expect(again.hasSuffix("nothing is shown now.") && again.hasPrefix("Desk 2 entered 2.5 for"))
    }

    @Test("an entry whose value was written again does not say that it is not shown")
    func shownAgain() {
        let kept = ConflictFixtures.conflict(current: .text("Earlier"), other: .text("Earlier"))
        #expect(
            kept.sentence
                == "Desk 2 entered “Earlier” for the total amount of one entry in patient bills, which lost to another "
                + "value and is shown now."
        )
        #expect(kept.takeBack == "Nothing needs to be done: “Earlier” is shown.")
    }

    @Test("an entry for several values says how many, and where to read them")
    func several() {
        let twelve = ConflictFixtures.conflict(current: .text("Later"), other: .text("Earlier"), count: 12)
        #expect(twelve.sentence.hasSuffix(": “Later” is shown now, “Earlier” and 11 other values are not."))
        #expect(
            twelve.takeBack
                == "To show “Earlier” instead: clinic-node conflicts resolve 0123456789ab --keep other (all 12 values: "
                + "clinic-node conflicts show 0123456789ab)"
        )
        let two = ConflictFixtures.conflict(current: nil, other: .text("Earlier"), count: 2)
        #expect(two.sentence.contains("entered “Earlier” after another value for the total amount"))
    }

    @Test(
        "every kind has a sentence, a rule and a way back, each of them one plain sentence",
        arguments: ConflictKind.allCases
    )
    func kinds(kind: ConflictKind) {
        let conflict = ConflictFixtures.conflict(kind, current: .text("INV-0042~K7Q"), other: .text("INV-0042"))
        #expect(conflict.kind == kind.rawValue)
        for text in [conflict.sentence, conflict.rule, conflict.takeBack] {
            #expect(text.first?.isUppercase == true || text.first == "“", "\(text)")
            #expect(!text.contains(". "), "\(text)")
            for word in ["column", "row ", "UNIQUE", "NULL", "constraint", "node ", "_id"] {
                #expect(!text.replacing("clinic-node", with: "").contains(word), "\(text)")
            }
        }
        #expect(conflict.takeBack.contains("--keep other") == conflict.canKeepOther)
        #expect(conflict.takeBack.hasSuffix("--keep other") || conflict.takeBack.hasSuffix("."))
        #expect(conflict.related?.recordId == (kind == .value ? nil : "older"))
    }

    @Test("a number that was taken is told as a receptionist would")
    func taken() {
        let conflict = ConflictFixtures.conflict(.renamed, current: .text("INV-0042~K7Q"), other: .text("INV-0042"))
        #expect(
            conflict.sentence
                == "“INV-0042” was taken by an older entry in patient bills; this one shows “INV-0042~K7Q”."
        )
        #expect(
            conflict.takeBack
                == "Give the older entry (patient_bills/older) another total amount: then this one gets “INV-0042” by itself."
        )
        let value = ConflictFixtures.nameOfAna
        #expect(value.takeBack == "To show “Earlier” instead: clinic-node conflicts resolve 0123456789ab --keep other")
        let gone = ConflictFixtures.conflict(current: nil, other: .integer(5))
        #expect(!gone.canKeepOther && gone.takeBack == "The entry is deleted: enter it again if it is needed.")
    }

    @Test("long values are cut in sentences and lists, and whole when one conflict is shown")
    func long() {
        let text = String(repeating: "é", count: 3_000)
        let conflict = ConflictFixtures.conflict(current: .text("line\nline"), other: .text(text))
        #expect(conflict.sentence.contains("“line line”"))
        #expect(conflict.sentence.count < 300 && conflict.sentence.contains("…”"))
        #expect(conflict.other.value == .text(text))
        #expect(conflict.listed.other.value == .text(String(text.prefix(2_000))))
        #expect(conflict.listed.other.isTruncated && conflict.listed.current?.isTruncated == false)
    }

    @Test("values keep their kind in JSON, and numbers that JSON lacks are text")
    func values() throws {
        let values: [ConflictValue] = [.null, .integer(.max), .number(0.5), .text("5")]
        let bytes = try APICoding.encode(values)
        #expect(String(decoding: bytes, as: UTF8.self) == #"[null,9223372036854775807,0.5,"5"]"#)
        #expect(try APICoding.decode([ConflictValue].self, from: bytes) == values)
        let infinite = try APICoding.encode([ConflictValue.number(.infinity)])
        #expect(String(decoding: infinite, as: UTF8.self) == #"["inf"]"#)
    }

    @Test("a decision tells an expected null from none")
    func decision() throws {
        func decode(_ text: String) throws -> ConflictDecision {
            try APICoding.decode(ConflictDecision.self, from: Array(text.utf8))
        }
        #expect(try decode(#"{"keep":"other"}"#) == ConflictDecision(keep: .other))
        #expect(try decode(#"{"keep":"other","expected":null}"#) == ConflictDecision(keep: .other, expected: .null))
        #expect(throws: DecodingError.self) { try decode(#"{"keep":"neither"}"#) }
    }
}

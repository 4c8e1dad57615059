import ClinicSyncModel
import Testing

@Suite struct ClosestNameTests {
    @Test(
        "a text that differs from a name in a few characters finds it, and no other text does",
        arguments: [
            ("patient", "patients"), ("Payments", "payments"), ("paymnets", "payments"), ("apointment", "appointments"),
            ("", nil), ("x", nil), ("patients_2025", nil), ("bills", nil), ("appointments", "appointments"),
        ] as [(String, String?)]
    )
    func closest(text: String, name: String?) {
        let names = ["patients", "payments", "appointments", "bill_items"]
        #expect(ClosestName.of(text, among: names) == name)
        #expect(ClosestName.of(text, among: names.reversed()) == name)
    }

    @Test("of names that are equally close the first is meant; without names none is")
    func ties() {
        #expect(ClosestName.of("lab3", among: ["Lab2", "Lab1"]) == "Lab1")
        #expect(ClosestName.of("lab3", among: []) == nil)
        #expect(ClosestName.question("lab3", among: ["Lab1"]) == #" (did you mean "Lab1"?)"#)
        #expect(ClosestName.question("front", among: ["Lab1"]).isEmpty)
    }

    @Test("a long text costs no more than a short one")
    func bounds() {
        let long = String(repeating: "a", count: 1_000_000)
        #expect(ClosestName.of(long, among: [long + "b"]) == long + "b")
    }
}

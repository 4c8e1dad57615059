import Testing

@Suite("Torture: equal rows under different ids")
struct MergeTortureTests {
    private static let services =
        "SELECT id || '|' || name || '|' || coalesce(description, '-') || '|' || coalesce(price, '-') FROM service ORDER BY id"

    static let scenarios: [Scenario] = [
        Scenario(
            "one service made on two PCs",
            .does(.a, "INSERT INTO service(id, name, description) VALUES ('x', 'ECG', 'by a')"),
            .does(.b, "INSERT INTO service(id, name, price) VALUES ('y', 'ECG', 250.0)")
        )
        .shows(Self.services, "x|ECG|by a|250.0").journal("merged service/y*"),
        Scenario(
            "one service made on two PCs with different prices",
            .does(.a, "INSERT INTO service(id, name, price) VALUES ('x', 'ECG', 200.0)"),
            .does(.b, "INSERT INTO service(id, name, price) VALUES ('y', 'ECG', 250.0)")
        )
        .shows(Self.services, "x|ECG|-|250.0").journal("merged service/y*", "mergedValue service/*/price=200.0"),
        Scenario(
            "one service made on three PCs, counted on each",
            .does(.a, "INSERT INTO service(id, name, uses) VALUES ('x', 'ECG', 1)"),
            .does(.b, "INSERT INTO service(id, name, uses) VALUES ('y', 'ECG', 10)"),
            .does(.c, "INSERT INTO service(id, name, uses) VALUES ('z', 'ECG', 100)"),
            .does(.c, "UPDATE service SET uses = uses + 1000")
        )
        .shows("SELECT id || uses FROM service", "x1111").journal("merged service/y*", "merged service/z*"),
        Scenario(
            "items of both services refer to the one that is shown",
            .does(
                .a,
                """
                INSERT INTO service(id, name) VALUES ('x', 'ECG'); INSERT INTO bill(id, number) VALUES ('ba', '1');
                INSERT INTO item(id, billId, serviceId) VALUES ('ia', 'ba', 'x')
                """
            ),
            .does(
                .b,
                """
                INSERT INTO service(id, name) VALUES ('y', 'ECG'); INSERT INTO bill(id, number) VALUES ('bb', '2');
                INSERT INTO item(id, billId, serviceId) VALUES ('ib', 'bb', 'y')
                """
            )
        )
        .shows("SELECT id || serviceId FROM item ORDER BY id", "iax ibx").journal("merged service/y*"),
        Scenario(
            "merged services part when one of them was named wrongly",
            .does(.a, "INSERT INTO service(id, name) VALUES ('x', 'ECG')"),
            .does(
                .b,
                "INSERT INTO service(id, name) VALUES ('y', 'ECG'); INSERT INTO item(id, serviceId) VALUES ('i', 'y')"
            ),
            .does(.b, "UPDATE service SET name = 'EKG' WHERE id = 'y'")
        )
        .shows("SELECT id || name FROM service ORDER BY id", "xECG yEKG")
        .shows("SELECT serviceId FROM item", "y").journal().replaced("ECG"),
        Scenario(
            "a merged service is renamed",
            .does(.a, "INSERT INTO service(id, name) VALUES ('x', 'ECG')"),
            .does(.b, "INSERT INTO service(id, name, price) VALUES ('y', 'ECG', 5.0)"),
            .hears(.a, from: .b),
            .does(.a, "UPDATE service SET name = 'EKG'")
        )
        .shows(Self.services, "x|EKG|-|5.0").replaced("ECG"),
        Scenario(
            "a merged service is deleted",
            .does(.a, "INSERT INTO service(id, name) VALUES ('x', 'ECG')"),
            .does(.b, "INSERT INTO service(id, name, price) VALUES ('y', 'ECG', 5.0)"),
            .hears(.a, from: .b),
            .does(.a, "DELETE FROM service")
        )
        .shows("SELECT count(*) FROM service", "0").journal().replaced("5.0", "ECG"),
        Scenario(
            "a merged service is deleted while another PC uses the hidden one",
            .does(.a, "INSERT INTO service(id, name) VALUES ('x', 'ECG')"),
            .does(.b, "INSERT INTO service(id, name) VALUES ('y', 'ECG')"),
            .hears(.a, from: .b),
            .does(.a, "DELETE FROM service"),
            .does(.b, "INSERT INTO item(id, serviceId) VALUES ('i', 'y')")
        )
        .shows("SELECT count(*) FROM item JOIN service ON service.id = serviceId", "1"),
        Scenario(
            "a counter of a merged service",
            .does(.a, "INSERT INTO service(id, name, uses) VALUES ('x', 'ECG', 1)"),
            .does(.b, "INSERT INTO service(id, name, uses) VALUES ('y', 'ECG', 2)"),
            .hears(.a, from: .b),
            .does(.a, "UPDATE service SET uses = uses + 4"),
            .does(.b, "UPDATE service SET uses = uses + 8")
        )
        .shows("SELECT uses FROM service", "15").journal("merged service/y*"),
        Scenario(
            "a merged service is edited, and the hidden one on a PC that does not know",
            .does(.a, "INSERT INTO service(id, name, price) VALUES ('x', 'ECG', 1.0)"),
            .does(.b, "INSERT INTO service(id, name, price) VALUES ('y', 'ECG', 2.0)"),
            .hears(.a, from: .b),
            .does(.a, "UPDATE service SET price = 3.0"),
            .does(.b, "UPDATE service SET description = 'by b'")
        )
        .shows(Self.services, "x|ECG|by b|3.0").replaced("1.0", "2.0"),
        Scenario(
            "a service is renamed to the name of another",
            start: "INSERT INTO service(id, name, price) VALUES ('x', 'ECG', 1.0), ('y', 'EKG', 2.0)",
            .does(.a, "UPDATE service SET description = 'by a' WHERE id = 'x'"),
            .does(.b, "UPDATE service SET name = 'ECG2' WHERE id = 'y'"),
            .does(.c, "UPDATE service SET name = 'ECG2' WHERE id = 'x'")
        )
        .shows("SELECT id || name FROM service", "yECG2").journal("merged service/x*", "mergedValue service/*/price=*"),
        Scenario(
            "a service is replaced by its name",
            start: "INSERT INTO service(id, name, price) VALUES ('x', 'ECG', 1.0)",
            .does(.a, "INSERT OR REPLACE INTO service(id, name, price) VALUES ('y', 'ECG', 2.0)"),
            .does(.b, "INSERT INTO item(id, serviceId) VALUES ('i', 'x')")
        )
        .shows("SELECT count(*) FROM service", "1")
        .shows("SELECT count(*) FROM item JOIN service ON service.id = serviceId", "1"),
    ]

    @Test("they become one row, and what refers to them follows", arguments: Self.scenarios)
    func merge(_ scenario: Scenario) throws { try ScenarioRun.check(scenario, on: TortureSchema.keys.get()) }
}

import ClinicSyncModel
import NIOConcurrencyHelpers
import Testing

@testable import ClinicSync

extension LocalAPIServerTests {
    @Test("a decision about many conflicts has filters, and one that is misspelt settles nothing")
    func manyDecisions() async throws {
        let control = FixedControl()
        try await self.serve(control) { address, _ in
            func post(_ body: String) async throws -> String {
                let headers = [
                    "Host: \(address)", LocalAPIServerTests.authorization, "Content-Type: application/json",
                    "Content-Length: \(body.utf8.count)",
                ]
                return try await self.get(
                    address,
                    "/v1/conflicts/resolve",
                    headers: headers,
                    method: "POST",
                    body: body
                )
            }
            let answer = try await post(
                #"{"keep":"current","table":"t","kind":"value","pc":"Lab","since":"2026-11-27T10:00:00.000Z","dryRun":true}"#
            )
            #expect(answer.hasPrefix("HTTP/1.1 200"))
            #expect(answer.contains(#"{"dryRun":true,"left":[],"matching":3,"resolved":0}"#))
            for body in [
                "{}", #"{"keep":"current","tabel":"t"}"#, #"{"keep":"current","kind":"odd"}"#,
                #"{"keep":"current","since":"yesterday"}"#,
            ] {
                #expect(try await post(body).hasPrefix("HTTP/1.1 400"), "\(body)")
            }
        }
        #expect(
            control.calls.withLockedValue { $0 }
                == [#"resolve all current ["t", "value", "Lab", "2026-11-27T10:00:00.000Z"] true"#]
        )
    }
}

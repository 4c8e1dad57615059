import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import NIOCore

extension Request {
    /// The body as JSON, for endpoints that take input.
    ///
    /// ``BodyLimit`` has already read the body within the limit. The content type check refuses forms of other web
    /// pages. A browser sends such forms without a preflight.
    ///
    /// - Throws: ``RequestRefusal`` 415 for another content type, 400 for what is not JSON of this form.
    func json<Value: Decodable>(_ type: Value.Type) async throws -> Value {
        let media = self.headers[.contentType]?.prefix { $0 != ";" }.trimmingCharacters(in: .whitespaces).lowercased()
        guard media == "application/json" else {
            throw RequestRefusal(
                status: .unsupportedMediaType,
                error: "wrong_content_type",
                message: "Send a JSON object with \"Content-Type: application/json\"."
            )
        }
        let buffer = try await self.body.collect(upTo: LocalAPIRoutes.bodyBytesMax)
        do {
            return try APICoding.decode(type, from: Array(buffer.readableBytesView))
        } catch let error as DecodingError {
            throw RequestRefusal(status: .badRequest, error: "bad_json", message: JSONBodyFault.sentence(error))
        }
    }
}

/// Names the fault of a body without repeating its content.
enum JSONBodyFault {
    static func sentence(_ error: DecodingError) -> String {
        switch error {
        case .keyNotFound(let key, _):
            "The body has no \"\(key.stringValue)\": add it."
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            context.codingPath.isEmpty
                ? "The body must be a JSON object."
                : "\"\(context.codingPath.map(\.stringValue).joined(separator: "."))\" is of another type than it must be."
        case .dataCorrupted(let context):
            context.codingPath.isEmpty
                ? "The body is not JSON: send a JSON object."
                : "\"\(context.codingPath.map(\.stringValue).joined(separator: "."))\" has a value that it cannot have."
        @unknown default:
            "The body does not have the form that docs/openapi.yaml describes: correct it."
        }
    }
}

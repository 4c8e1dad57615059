/// What the fields of frames mean, as far as a hostile member needs to know it.
///
/// A test compares it with `clinicsync.proto`.
package enum FrameGrammar {
    /// The meaning of a field.
    package enum Meaning: Sendable, Hashable {
        /// A message of that name.
        case message(String)
        /// A number.
        case number
        /// Numbers one after the other.
        case numbers
        /// Text in UTF-8.
        case text
        /// Bytes of no meaning here.
        case bytes
        /// The id of a node.
        case node
        /// Ids of nodes one after the other.
        case nodes
    }

    /// The messages of a frame by their field numbers in it.
    package static let kinds: [UInt64: String] = [
        2: "Hello", 3: "Goodbye", 4: "Ping", 5: "Pong", 6: "Chunk", 7: "Acknowledge", 8: "Digests", 9: "RowHashes",
        10: "RowStates", 11: "SyncRequest", 12: "SyncRequest", 13: "VerifyReport", 14: "SyncReport", 17: "Revocation",
        18: "HostReport", 19: "HandOver", 20: "TransferRequest", 21: "LoginRequest", 22: "LoginReply",
        23: "MemberProof", 24: "StateOffer", 25: "StateRequest", 26: "StatePage", 27: "StateEnd",
        30: "StateRanges", 31: "StateWants",
    ]

    /// The fields of each message by their numbers.
    package static let messages: [String: [UInt64: Meaning]] = [
        "Frame": FrameGrammar.kinds.mapValues { .message($0) }.merging([1: .number]) { first, _ in first },
        "Null": [:],
        "Value": [1: .message("Null"), 2: .number, 3: .number, 4: .bytes, 5: .bytes],
        "Vector": [1: .nodes, 2: .numbers, 3: .numbers],
        "BatchName": [1: .node, 2: .number, 3: .number],
        "Partial": [1: .message("BatchName"), 2: .number, 3: .number, 4: .number, 5: .number],
        "Hello": [
            1: .number, 2: .text, 5: .text, 6: .text, 7: .number, 10: .text, 11: .message("Vector"),
            12: .message("Partial"), 13: .number, 14: .message("HostReport"), 15: .number, 16: .number,
            17: .number, 18: .bytes, 19: .number, 20: .number,
        ],
        "Candidacy": [1: .number, 2: .number, 3: .number, 4: .node],
        "Reign": [1: .number, 2: .message("Candidacy")],
        "Successor": [1: .node, 2: .text],
        "LockedPeer": [1: .node, 2: .number],
        "HostReport": [
            1: .number, 2: .number, 3: .message("Reign"), 4: .text, 5: .message("Candidacy"),
            6: .message("Successor"), 7: .number, 8: .message("LockedPeer"),
        ],
        "HandOver": [:],
        "TransferRequest": [1: .node],
        "Goodbye": [1: .number, 2: .number],
        "Ping": [1: .number],
        "Pong": [1: .number, 2: .number],
        "Header": [1: .number, 2: .message("Vector"), 3: .number],
        "Chunk": [
            1: .message("BatchName"), 2: .number, 3: .message("Header"), 4: .number, 5: .number, 6: .bytes,
        ],
        "Acknowledge": [
            1: .message("Vector"), 2: .number, 3: .message("BatchName"), 4: .node, 5: .numbers,
            6: .message("ProbeAnswers"),
        ],
        "ProbeAnswers": [1: .node, 2: .number, 3: .nodes, 4: .numbers, 5: .nodes],
        "Table": [1: .text, 2: .number, 3: .bytes, 4: .number, 5: .bytes, 6: .number, 7: .bytes],
        "Digests": [1: .number, 2: .message("Vector"), 3: .message("Table"), 4: .bytes],
        "RowHashes": [
            1: .number, 2: .text, 3: .message("Value"), 4: .message("Value"), 5: .message("Value"), 6: .bytes,
            7: .number,
        ],
        "RowStates": [1: .number, 2: .text, 3: .bytes, 4: .message("Value"), 5: .number, 6: .message("Value")],
        "StateRanges": [1: .number, 2: .text, 3: .bytes, 4: .number],
        "StateWants": [1: .number, 2: .text, 3: .numbers],
        "SyncRequest": [1: .number, 2: .text, 3: .number],
        "VerifyReport": [1: .number, 2: .number, 3: .number],
        "SyncReport.Node": [1: .node, 2: .text, 3: .number],
        "SyncReport": [1: .number, 2: .number, 3: .number, 4: .message("SyncReport.Node"), 5: .message("Member")],
        "Member": [
            1: .node, 2: .number, 3: .number, 4: .number, 5: .number, 6: .number, 7: .number, 8: .number, 9: .text,
            10: .text,
            11: .text,
        ],
        "Revocation": [1: .bytes],
        "MemberProof": [1: .bytes],
        "StateOffer": [1: .number, 2: .number],
        "StateRequest": [1: .number, 2: .message("Vector"), 3: .text, 4: .message("Value"), 5: .number],
        "StatePage": [
            1: .number, 2: .message("Vector"), 3: .text, 4: .message("Value"), 5: .number, 6: .bytes, 7: .number,
            8: .number, 9: .message("Vector"), 10: .number,
        ],
        "StateEnd": [1: .number, 2: .message("Vector"), 3: .message("Vector")],
        "LoginRequest": [
            1: .number, 2: .text, 3: .text, 4: .text, 5: .text, 6: .text, 7: .bytes, 8: .number, 9: .number, 10: .bytes,
            11: .bytes,
        ],
        "Granted": [1: .number],
        "Holder": [1: .text, 2: .text, 3: .text, 4: .text, 5: .text],
        "Conflict": [1: .message("Holder")],
        "Refused": [:],
        "Unavailable": [:],
        "LoginReply": [
            1: .number, 2: .message("Granted"), 3: .message("Conflict"), 4: .message("Refused"),
            5: .message("Unavailable"), 6: .message("BatchName"),
        ],
    ]

    /// The meaning of the field at a path of field numbers that begins in a frame; `nil` for an unknown field.
    static func meaning(of path: [UInt64]) -> Meaning? {
        var meaning = Meaning.message("Frame")
        for number in path {
            guard case .message(let name) = meaning, let next = self.messages[name]?[number] else { return nil }
            meaning = next
        }
        return meaning
    }

    /// Reads a frame and writes it again; `nil` when it is none.
    ///
    /// Honest frames stay as they are.
    package static func rewritten(_ frame: [UInt8]) -> [UInt8]? { self.tree(of: frame)?.bytes }

    /// Reads a frame.
    static func tree(of frame: [UInt8]) -> ProtobufTree? {
        ProtobufTree(frame[...]) { path in
            if case .message? = self.meaning(of: path) { true } else { false }
        }
    }

    /// The number of the frame's message; 0 when it has none.
    static func kind(of frame: ProtobufTree) -> UInt64 {
        frame.fields.first { self.kinds[$0.number] != nil }?.number ?? 0
    }
}

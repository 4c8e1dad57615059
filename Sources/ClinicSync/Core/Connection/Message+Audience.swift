import ClinicSyncModel

// Who may send a message, and who acts on it.
extension Message {
    /// Whether only clients send the message, and only a host acts on it.
    var isForHosts: Bool {
        switch self {
        case .rowHashes, .stateWants, .syncRequest, .verifyReport, .transferRequest, .loginRequest: true
        case .hello, .goodbye, .ping, .pong, .chunk, .acknowledge, .digests, .rowStates, .verifyRequest, .syncReport,
            .revocation, .memberProof, .hostReport, .handOver, .loginReply, .state, .stateRanges:
            false
        }
    }

    /// Whether only a host sends the message, and only its clients act on it.
    var isForClients: Bool {
        switch self {
        case .verifyRequest, .syncReport, .handOver, .loginReply: true
        case .hello, .goodbye, .ping, .pong, .chunk, .acknowledge, .digests, .rowHashes, .rowStates, .syncRequest,
            .verifyReport, .revocation, .memberProof, .hostReport, .transferRequest, .loginRequest, .state,
            .stateRanges, .stateWants:
            false
        }
    }

    /// Whether a peer may send the message before it has seen this node's hello.
    var isFirst: Bool {
        switch self {
        case .hello, .goodbye, .revocation: true
        case .ping, .pong, .chunk, .acknowledge, .digests, .rowHashes, .rowStates, .syncRequest, .verifyRequest,
            .verifyReport, .syncReport, .memberProof, .hostReport, .handOver, .transferRequest, .loginRequest,
            .loginReply, .state, .stateRanges, .stateWants:
            false
        }
    }

    /// Whether the transport, which knows no term, may send the message too.
    var isTermless: Bool {
        switch self {
        case .goodbye, .revocation: true
        case .hello, .ping, .pong, .chunk, .acknowledge, .digests, .rowHashes, .rowStates, .syncRequest,
            .verifyRequest, .verifyReport, .syncReport, .memberProof, .hostReport, .handOver, .transferRequest,
            .loginRequest, .loginReply, .state, .stateRanges, .stateWants:
            false
        }
    }
}

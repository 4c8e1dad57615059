/// Measures how long a change takes, for people.
struct NodeProbeControl: ProbeControl {
    let agent: ProbeAgent
    let members: MemberList

    func probe(timeout: Duration) async throws -> ProbeSummary {
        let names = self.members.names
        return try await self.agent.probe(timeout: timeout).summary(names: names)
    }
}

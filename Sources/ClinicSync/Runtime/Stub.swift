enum StubRuntime {}

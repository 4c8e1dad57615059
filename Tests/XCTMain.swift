import Testing

/// The program of all tests.
///
/// The package manager takes the file of this name instead of one that it would write, and so needs no index of all modules to
/// look for tests of XCTest: there are none.
@main
struct Runner {
    static func main() async {
        // `swift test` starts the program once more for XCTest.
        guard CommandLine.arguments.contains("swift-testing") else { return }
        await Testing.__swiftPMEntryPoint() as Never
    }
}

import Testing

@testable import ClinicSync

@Suite("Who holds a file's write lock")
struct LockHolderTests {
    @Test(
        "the table of locks names the process",
        arguments: [
            ("1: POSIX  ADVISORY  WRITE 4711 fd:01:131077 120 120", 4_711),
            ("1: POSIX  ADVISORY  WRITE 4711 00:2f:131077 0 EOF", 4_711),
            ("1: POSIX  ADVISORY  READ 4711 fd:01:131077 120 120", nil),
            ("1: POSIX  ADVISORY  WRITE 4711 fd:01:131077 124 124", nil),
            ("1: POSIX  ADVISORY  WRITE 4711 fd:01:99 120 120", nil),
            ("1: FLOCK  ADVISORY  WRITE 4711 fd:01:131077 0 EOF", nil),
            ("1: OFDLCK ADVISORY  WRITE -1 fd:01:131077 120 120", nil),
            ("1: POSIX  ADVISORY  WRITE 0 fd:01:131077 120 120", nil),
            ("1: -> POSIX  ADVISORY  WRITE 4711 fd:01:131077 120 120", nil),
            ("1: POSIX  ADVISORY  WRITE many fd:01:131077 120 120\nnonsense\n", nil),
            ("1: POSIX  ADVISORY  READ 5 fd:01:131077 123 123\n2: POSIX  ADVISORY  WRITE 6 fd:01:131077 120 120\n", 6),
        ] as [(String, Int?)]
    )
    func table(_ text: String, _ process: Int?) {
        #expect(LockHolder.process(in: text, inode: 131_077) == process)
    }

    @Test("a reader has one of the readers' bytes of the index; a waiting lock and a writer are none")
    func readers() {
        let table = """
            1: POSIX  ADVISORY  READ 5 fd:01:131077 123 123
            2: POSIX  ADVISORY  READ 6 fd:01:131077 127 127
            3: POSIX  ADVISORY  READ 7 fd:01:131077 128 128
            4: POSIX  ADVISORY  WRITE 8 fd:01:131077 124 124
            5: -> POSIX  ADVISORY  READ 9 fd:01:131077 124 124
            6: POSIX  ADVISORY  READ 10 fd:01:99 124 124
            7: POSIX  ADVISORY  READ 0 fd:01:131077 124 124
            """
        #expect(LockHolder.readers(in: table, inode: 131_077) == [5, 6])
    }

    @Test("every process with a lock on the file uses it; locks of other namespaces name none")
    func users() {
        let table = """
            1: POSIX  ADVISORY  READ 5 fd:01:131077 1073741826 1073742335
            2: POSIX  ADVISORY  READ 6 fd:01:99 1073741826 1073742335
            3: POSIX  ADVISORY  WRITE 0 fd:01:131077 120 120
            4: -> POSIX  ADVISORY  WRITE 7 fd:01:131077 120 120
            5: FLOCK  ADVISORY  WRITE 8 fd:01:131077 0 EOF
            6: POSIX  ADVISORY  WRITE 9 fd:01:131077 1073741825 1073741825
            """
        #expect(LockHolder.users(in: table, inode: 131_077) == [5, 9])
    }
}

import ClinicSyncFuzzing
import Foundation

/// The decoders by the first byte of an input, so that one fuzzer reaches all of them.
private let subjects: [FuzzSubject] = {
    do {
        return try FuzzTarget.allCases.map { try $0.subject() }
    } catch {
        fatalError("the corpora cannot be made: \(error)")
    }
}()

/// Called by libFuzzer once, before it reads its corpus: writes the well-formed inputs to the directory that
/// `CLINICSYNC_FUZZ_SEEDS` names, one file each.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(
    _ argumentCount: UnsafeMutablePointer<CInt>?,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>?
) -> CInt {
    guard let path = ProcessInfo.processInfo.environment["CLINICSYNC_FUZZ_SEEDS"] else { return 0 }
    do {
        for (number, subject) in subjects.enumerated() {
            for (index, entry) in subject.corpus.enumerated() {
                let file = URL(filePath: path).appending(path: "\(subject.name)-\(index)")
                try Data([UInt8(truncatingIfNeeded: number)] + entry).write(to: file)
            }
        }
    } catch {
        fatalError("the seeds cannot be written: \(error)")
    }
    return 0
}

/// Called by libFuzzer with each input: the first byte chooses the decoder, the rest is for it.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = UnsafeBufferPointer(start: start, count: count)
    guard let first = input.first else { return 0 }
    let subject = subjects[Int(first) % subjects.count]
    do {
        _ = try subject.decode(Array(input.dropFirst()))
    } catch {
        fatalError("\(subject.name): \(error)")
    }
    return 0
}

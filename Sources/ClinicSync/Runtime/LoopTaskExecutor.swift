import NIOCore

/// Runs a task on an event loop, as its preferred executor.
///
/// What resumes the task on that loop, as a socket or a timer of the loop does, hands it over to no other thread.
final class LoopTaskExecutor: TaskExecutor {
    private let loop: any EventLoop

    /// Makes an executor of tasks that must end before `loop` does.
    init(_ loop: any EventLoop) { self.loop = loop }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        self.loop.execute { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}

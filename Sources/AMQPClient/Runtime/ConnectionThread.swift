import CRabbitMQ
import Glibc

/// An operating system thread for one connection.
enum ConnectionThread {
  /// The C library decodes nested tables by recursion and any publisher chooses the depth; a table of one frame's size
  /// needs several megabytes. The pages are only touched when they are used.
  private static let stackBytes = 16 << 20

  private final class Body {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  /// Starts a detached thread. `name` is cut to the 15 bytes that the kernel keeps.
  static func start(name: String, _ run: @escaping @Sendable () -> Void) {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setstacksize(&attributes, stackBytes)
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    var thread = pthread_t()
    let argument = Unmanaged.passRetained(
      Body {
        shim_name_thread(name)
        run()
      }
    ).toOpaque()
    let status = pthread_create(
      &thread, &attributes,
      {
        Unmanaged<Body>.fromOpaque($0!).takeRetainedValue().run(); return nil
      }, argument)
    precondition(status == 0, "cannot start a thread: error \(status)")
  }
}

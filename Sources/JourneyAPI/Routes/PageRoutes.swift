import HTTPTypes
import Hummingbird

/// The page and its files, out of the program itself.
struct PageRoutes: Sendable {
  private static let files: [(path: RouterPath, type: String, bytes: [UInt8])] =
    [
      ("/", "text/html; charset=utf-8", PackageResources.index_html),
      ("/app.css", "text/css; charset=utf-8", PackageResources.app_css),
      ("/icon.svg", "image/svg+xml", PackageResources.icon_svg),
    ] + scripts.map { (path: RouterPath("/\($0).js"), type: "text/javascript; charset=utf-8", bytes: $1) }

  private static let scripts: [(name: String, bytes: [UInt8])] = [
    ("app", PackageResources.app_js), ("dom", PackageResources.dom_js),
    ("words", PackageResources.words_js), ("server", PackageResources.server_js),
    ("view", PackageResources.view_js), ("search", PackageResources.search_js),
    ("charts", PackageResources.charts_js), ("clients", PackageResources.clients_js),
    ("map", PackageResources.map_js), ("client", PackageResources.client_js),
    ("boards", PackageResources.boards_js), ("todo", PackageResources.todo_js), ("ask", PackageResources.ask_js),
    ("holds", PackageResources.holds_js),
    ("dead-letter", PackageResources.dead_letter_js), ("operations", PackageResources.operations_js),
  ]

  func add(to router: some RouterMethods<APIContext>) {
    for file in Self.files {
      router.resource(file.path) { request, _ in
        etagResponse(file.bytes, type: file.type, to: request, caching: "no-cache")
      }
    }
  }
}

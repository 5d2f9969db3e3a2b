import HTTPTypes
import Hummingbird

/// The page and its files, out of the program itself.
struct PageRoutes: Sendable {
  private static let files: [(path: RouterPath, type: String, bytes: [UInt8])] = [
    ("/", "text/html; charset=utf-8", PackageResources.index_html), ("/app.css", "text/css; charset=utf-8", PackageResources.app_css),
    ("/app.js", "text/javascript; charset=utf-8", PackageResources.app_js), ("/views.js", "text/javascript; charset=utf-8", PackageResources.views_js),
    ("/operations.js", "text/javascript; charset=utf-8", PackageResources.operations_js),
    ("/charts.js", "text/javascript; charset=utf-8", PackageResources.charts_js), ("/icon.svg", "image/svg+xml", PackageResources.icon_svg),
  ]

  func add(to router: some RouterMethods<APIContext>) {
    for file in Self.files {
      router.resource(file.path, [.get: { request, _ in answer(file.bytes, type: file.type, to: request, caching: "no-cache") }])
    }
  }
}

package import AMQPClient
package import Journey

extension AckToken {
  package init(_ tag: DeliveryTag) { self.init(generation: tag.generation, tag: tag.value) }
}

extension DeliveryTag {
  package init(_ token: AckToken) { self.init(generation: token.generation, value: token.tag) }
}

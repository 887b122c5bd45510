// featherstar/http: serve, and the Response that is fastest.

export type { TlsInfo } from '../tls/info.js';
export type { SniCallback, TlsContextOptions, TlsFile, TlsServerOptions, TlsVersion } from '../tls/options.js';
export { WebSocket } from '../websocket/client.js';
export {
  CloseEvent,
  ErrorEvent,
  type WebSocketEvents,
  type WebSocketHandler,
  type WebSocketListener,
  type WebSocketMessageEvent,
} from '../websocket/client-events.js';
export type { WebSocketClientOptions } from '../websocket/client-options.js';
export type { PerMessageDeflateOptions } from '../websocket/deflate.js';
export type { UpgradeOptions } from '../websocket/handshake.js';
export type { WebSocketOptions } from '../websocket/options.js';
export type { ServerWebSocket, WebSocketBytes } from '../websocket/server-socket.js';
export type { ClientAddress, DenoAddress, HandlerInfo } from './handler-info.js';
export type { HeadersValue } from './headers.js';
export type { ProxyHeader, ProxyOptions } from './proxies.js';
export type { FeatherRequest } from './request.js';
export type { RequestLimitOptions } from './request-control.js';
export { type BodyValue, FeatherResponse as Response, type ResponseOptions } from './response.js';
export type { ResponseEntry } from './response-log.js';
export { serve } from './serve.js';
export type { ModuleServer, ServeModuleOptions } from './serve-module.js';
export { type StaticHandler, type StaticOptions, serveStatic } from './serve-static.js';
export type { AnyResponse, HttpLimits, ServeOptions, Server } from './server.js';

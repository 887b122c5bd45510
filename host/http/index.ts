// featherstar/http: serve, and the Response that is fastest.

export { FeatherRequest } from './request.js';
export { FeatherResponse as Response, type ResponseOptions } from './response.js';
export { serve } from './serve.js';
export type { ModuleServer, ServeModuleOptions } from './serve-module.js';
export type { HttpLimits, ServeOptions, Server } from './server.js';

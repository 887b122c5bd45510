// featherstar/http: serve, and the Response that is fastest.

export { FeatherRequest } from './request.js';
export { FeatherResponse as Response, type ResponseOptions } from './response.js';
export { type HttpLimits, type ServeOptions, type Server, serve } from './server.js';

/**
 * Prints the OpenAPI document: `node gateway/src/openapi-document.ts`.
 * @module
 */
import { createApp } from './app.ts';
import { openapiDocument } from './routes/openapi/document.ts';

console.log(JSON.stringify(openapiDocument(createApp())));

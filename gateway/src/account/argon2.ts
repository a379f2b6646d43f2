/**
 * The WebAssembly of Argon2, which only workerd and its bundler can import.
 * @module
 */
import Argon2 from '@phi-ag/argon2';
import wasm from '@phi-ag/argon2/argon2.wasm';

/** A fresh instance: its memory grows to the largest hash that it has made. */
export const instantiate = async (): Promise<Argon2> => new Argon2(await WebAssembly.instantiate(wasm));

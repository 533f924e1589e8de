// Loaded into serverless-offline by the tests: its clock can be moved, and who calls may say from where.
import { readFileSync } from 'node:fs';
import { type IncomingMessage, Server } from 'node:http';

const { now } = Date;
Date.now = () => now() + Number(readFileSync(process.env.TEST_CLOCK_FILE as string, 'utf8'));

const emit = Server.prototype.emit as (name: string, ...args: unknown[]) => boolean;
Server.prototype.emit = function (this: Server, name: string, ...args: unknown[]): boolean {
  const address = name === 'request' && (args[0] as IncomingMessage).headers['x-test-address'];
  if (address) {
    const { socket } = args[0] as IncomingMessage;
    Object.defineProperty(socket, 'remoteAddress', { value: address, configurable: true });
  }
  return emit.call(this, name, ...args);
};

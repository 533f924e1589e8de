import type { Locale } from '../contract/messages.js';
import { AuthError } from '../errors.js';

/** What an old system's words for a failure may depend on. */
export interface Asked {
  /** As the canonical routes would answer. */
  status: number;
  acceptLanguage: string | undefined;
  method: string;
  /** The header; empty without one. */
  contentType: string;
  /** The header. */
  authorization: string | undefined;
  /** As it was sent, where it could be read. */
  body: unknown;
}

export interface Answer {
  status: number;
  body: object;
  /** Of the text; English by default. */
  locale?: Locale;
}

/** How an old system speaks of failures. */
export type Wording = (error: AuthError, asked: Asked) => Answer;

/** A path that exists, asked with a method it does not have: Django says 405 where our own routes are not found. */
export class MethodNotAllowed extends AuthError {
  constructor() {
    super('not_found', { why: 'method' });
  }
}

/** Fields that cannot be used, with what Django REST Framework says of each. */
export class InvalidFields extends AuthError {
  readonly fields: Readonly<Record<string, string[]>>;

  constructor(fields: Readonly<Record<string, string[]>>) {
    super('invalid_request', { why: 'fields' });
    this.fields = fields;
  }
}

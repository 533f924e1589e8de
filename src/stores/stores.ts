import type { TicketStore } from '../accounts/ticket-store.js';
import type { OtpStore } from '../otp/otp-store.js';
import type { LoginStore } from '../security/login-store.js';
import type { StateStore } from '../tokens/state-store.js';

/** All that an adapter implements: the token core's store, and beside it the stores that share its connection. */
export interface Stores extends StateStore {
  logins: LoginStore;
  otp: OtpStore;
  tickets: TicketStore;
}

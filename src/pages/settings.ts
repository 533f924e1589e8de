/** What the pages know of the service, as the server writes it into them. */
export interface PageSettings {
  /** The path that everything stands below: empty, or that of a plugin's prefix. */
  base: string;
  /** May people register? */
  registration: boolean;
  /** Can codes be sent to phones, and links to mailboxes? */
  phone: boolean;
  email: boolean;
  /** Digits of a code. */
  otpLength: number;
  userTypes: readonly string[];
  /** Loaded with the charts only. */
  chartStyles: string;
}

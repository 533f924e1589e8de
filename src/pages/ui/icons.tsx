import type { ComponentChildren } from 'preact';

/** Line icons of 20 px; what they mean always stands beside them or in the label of their button. */
function Icon({ children, size = 20 }: { children: ComponentChildren; size?: number }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      stroke-width="1.8"
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
    >
      {children}
    </svg>
  );
}

export const EyeIcon = () => (
  <Icon>
    <path d="M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12Z" />
    <circle cx="12" cy="12" r="3" />
  </Icon>
);

export const EyeOffIcon = () => (
  <Icon>
    <path d="M9.9 5.8A9 9 0 0 1 12 5.5c6 0 9.5 6.5 9.5 6.5a16 16 0 0 1-2.6 3.4M6.3 7.3A15.6 15.6 0 0 0 2.5 12s3.5 6.5 9.5 6.500a9 9 0 0 0 5.2-1.7" />
    <path d="M10 10a3 3 0 0 0 4.1 4.200M3 3l18 18" />
  </Icon>
);

export const AlertIcon = () => (
  <Icon>
    <circle cx="12" cy="12" r="9" />
    <path d="M12 7.500v5M12 16.200v.1" />
  </Icon>
);

export const SmallAlertIcon = () => (
  <Icon size={15}>
    <circle cx="12" cy="12" r="9" />
    <path d="M12 7.500v5M12 16.200v.1" />
  </Icon>
);

export const CheckIcon = () => (
  <Icon>
    <path d="m5 12.5 4.5 4.500L19 7.5" />
  </Icon>
);

export const InfoIcon = () => (
  <Icon>
    <circle cx="12" cy="12" r="9" />
    <path d="M12 11v5M12 7.800v.1" />
  </Icon>
);

export const MailIcon = () => (
  <Icon>
    <rect x="3" y="5" width="18" height="14" rx="2.5" />
    <path d="m4 7.5 8 5.5 8-5.5" />
  </Icon>
);

export const SunIcon = () => (
  <Icon>
    <circle cx="12" cy="12" r="4" />
    <path d="M12 2.500v2M12 19.500v2M2.5 12h2M19.5 12h2M5.3 5.300l1.4 1.400M17.3 17.300l1.4 1.400M5.3 18.700l1.4-1.400M17.3 6.700l1.4-1.4" />
  </Icon>
);

export const MoonIcon = () => (
  <Icon>
    <path d="M20.5 14.200A8.5 8.5 0 0 1 9.8 3.500a8.5 8.5 0 1 0 10.7 10.700Z" />
  </Icon>
);

export const LanguageIcon = () => (
  <Icon>
    <circle cx="12" cy="12" r="9" />
    <path d="M3 12h18M12 3c2.5 2.6 3.8 5.6 3.8 9s-1.3 6.4-3.8 9c-2.5-2.6-3.8-5.6-3.8-9S9.5 5.6 12 3Z" />
  </Icon>
);

export const LaptopIcon = () => (
  <Icon>
    <rect x="4.5" y="5" width="15" height="10.5" rx="1.8" />
    <path d="M2.5 19h19" />
  </Icon>
);

export const PhoneIcon = () => (
  <Icon>
    <rect x="7" y="2.5" width="10" height="19" rx="2.5" />
    <path d="M11 18.500h2" />
  </Icon>
);

export const KeyIcon = () => (
  <Icon>
    <circle cx="8" cy="8" r="4.5" />
    <path d="m11.3 11.3 9.2 9.200M16 16l2.5-2.500M19 19l1.5-1.5" />
  </Icon>
);

export const PersonIcon = () => (
  <Icon>
    <circle cx="12" cy="8" r="4" />
    <path d="M4.5 20.500c.7-4 3.7-6 7.5-6s6.8 2 7.5 6" />
  </Icon>
);

export const SignOutIcon = () => (
  <Icon>
    <path d="M14 4.500H7A2.5 2.5 0 0 0 4.5 7v10A2.5 2.5 0 0 0 7 19.500h7M10 12h10.500M17 8.500l3.5 3.5-3.5 3.5" />
  </Icon>
);

/** The mark: a latchkey on a tile. */
export const Mark = () => (
  <svg width="28" height="28" viewBox="0 0 32 32" aria-hidden="true">
    <rect width="32" height="32" rx="9" />
    <g fill="none" stroke-width="2.6" stroke-linecap="round" stroke-linejoin="round">
      <circle cx="12.6" cy="12.6" r="4.9" />
      <path d="M16.2 16.2 24.4 24.400M20.4 20.400l2.5-2.500M23.6 23.600l1.6-1.6" />
    </g>
  </svg>
);

import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { readChoice, storeChoice } from './choices.js';
import { setLocale, useLocale, useTexts } from './locale.js';
import { PATHS } from './paths.js';
import { Link, usePlace } from './router.js';
import { sessionTrouble, signOut, useUser } from './session.js';
import { createStore, useStore } from './store.js';
import { uiTexts } from './texts/ui.js';
import { ProblemNotice } from './ui/form.js';
import { LanguageIcon, Mark, MoonIcon, SignOutIcon, SunIcon } from './ui/icons.js';
import { Notice } from './ui/notice.js';

/** What is around every page: mark, ways to other pages, language, colours. */
export function Frame({ children }: { children: ComponentChildren }) {
  const texts = useTexts(uiTexts);
  const user = useUser();
  const { path } = usePlace();
  const main = useMainFocus(path);
  const isInside = path.startsWith(PATHS.account) || path.startsWith('/admin');
  const isStaff = user && (user.is_staff || user.is_superuser);
  const isOnline = useStore(online);
  const trouble = useStore(sessionTrouble);
  return (
    <div class="frame">
      <a class="skip" href="#main">
        {texts.skip}
      </a>
      <header class={isInside ? 'top lined' : 'top'}>
        <Link class="brand" to={user ? PATHS.account : PATHS.signIn}>
          <Mark />
          Latchkey
        </Link>
        {isInside && isStaff && (
          <nav class="nav" aria-label={texts.account}>
            <Link to={PATHS.account} current={path.startsWith(PATHS.account)}>
              {texts.account}
            </Link>
            <Link to={PATHS.users} current={path.startsWith('/admin')}>
              {texts.administration}
            </Link>
          </nav>
        )}
        <div class="top-end">
          <LanguageButton />
          <ThemeButton />
          {isInside && user && (
            <button type="button" class="button quiet sign-out" onClick={() => void signOut()}>
              <SignOutIcon />
              <span>{texts.signOut}</span>
            </button>
          )}
        </div>
      </header>
      <main id="main" tabIndex={-1} ref={main}>
        {children}
      </main>
      <footer class="foot">{texts.footer}</footer>
      <div class="bars">
        {!isOnline && <Notice kind="warn">{texts.offline}</Notice>}
        {/* Pages without anybody signed in show it in their own way. */}
        {trouble && user && <ProblemNotice problem={trouble} />}
      </div>
    </div>
  );
}

/** Whoever goes to another page begins to read at its top; at the first one the browser sees to it. */
function useMainFocus(path: string) {
  const main = useRef<HTMLElement>(null);
  const before = useRef(path);
  useEffect(() => {
    if (before.current === path) return;
    before.current = path;
    main.current?.focus({ preventScroll: true });
  }, [path]);
  return main;
}

function LanguageButton() {
  const texts = useTexts(uiTexts);
  const other = useLocale() === 'en' ? 'fa' : 'en';
  return (
    <button type="button" class="button quiet" lang={other} onClick={() => setLocale(other)}>
      <LanguageIcon />
      {texts.otherLanguage}
    </button>
  );
}

const prefersDark = matchMedia('(prefers-color-scheme: dark)');
const readTheme = () => readChoice('theme') ?? (prefersDark.matches ? 'dark' : 'light');

function ThemeButton() {
  const texts = useTexts(uiTexts);
  const [theme, setTheme] = useState(readTheme);
  useEffect(() => {
    const follow = () => setTheme(readTheme());
    prefersDark.addEventListener('change', follow);
    return () => prefersDark.removeEventListener('change', follow);
  }, []);
  const other = theme === 'dark' ? 'light' : 'dark';
  return (
    <button
      type="button"
      class="button icon quiet"
      aria-label={texts[other]}
      title={texts[other]}
      onClick={() => {
        storeChoice('theme', other);
        document.documentElement.dataset.theme = other;
        setTheme(other);
      }}
    >
      {theme === 'dark' ? <SunIcon /> : <MoonIcon />}
    </button>
  );
}

/** Whether the browser thinks that there is a network. */
const online = createStore(navigator.onLine);
addEventListener('online', () => online.set(true));
addEventListener('offline', () => online.set(false));

// Dark or light: the system's choice until the user makes one.

export type Theme = 'auto' | 'light' | 'dark';

const KEY = 'rusty-claw.theme';
const NEXT: Record<Theme, Theme> = { auto: 'light', light: 'dark', dark: 'auto' };
const systemIsDark = matchMedia('(prefers-color-scheme: dark)');

let theme: Theme = readKept();

export function currentTheme(): Theme {
  return theme;
}

export function nextTheme(): Theme {
  theme = NEXT[theme];
  applyTheme();
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // Where nothing may be stored, the choice lasts as long as the page.
  }
  return theme;
}

/** Puts the theme on the page and keeps it in step with the system. */
export function followTheme(): void {
  applyTheme();
  systemIsDark.addEventListener('change', applyTheme);
}

function applyTheme(): void {
  const dark = theme === 'dark' || (theme === 'auto' && systemIsDark.matches);
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
}

function readKept(): Theme {
  try {
    const kept = localStorage.getItem(KEY);
    return kept === 'light' || kept === 'dark' ? kept : 'auto';
  } catch {
    return 'auto';
  }
}

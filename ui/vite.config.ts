import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

// The built page is committed in the crate that embeds it, so that cargo alone can build the gateway.
export default defineConfig({
  plugins: [svelte({ configFile: false, compilerOptions: { cssHash: ({ hash, css }) => `c${hash(css)}` } })],
  build: {
    outDir: '../crates/web/dist',
    emptyOutDir: true,
    target: 'es2023',
    // Everything is one small script: preloading and inlined data URLs would only need a looser CSP.
    modulePreload: false,
    assetsInlineLimit: 0,
  },
  test: { include: ['src/**/*.test.ts'] },
});

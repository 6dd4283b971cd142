import { createRootRoute, createRoute, createRouter } from '@tanstack/react-router';
import { Layout } from './layout.tsx';
import { ActivatePage } from './pages/activate.tsx';
import { CreateRepositoryPage } from './pages/create-repository.tsx';
import { ExplorePage } from './pages/explore.tsx';
import { HomePage } from './pages/home.tsx';
import { RepositoryPage } from './pages/repository.tsx';
import { SignInPage, SignUpPage } from './pages/sign-in.tsx';
import { TokensPage } from './pages/tokens.tsx';
import { Missing } from './parts/states.tsx';

/** What is remembered in the address of a repository's page. */
export interface RepositorySearch {
  readonly tab?: 'general' | 'tags' | 'settings';
  readonly reference?: string;
  /** Which side of an image is shown. */
  readonly view?: string;
}

/** What is looked for. */
export interface ExploreSearch {
  readonly q?: string;
  readonly category?: string;
}

const rootRoute = createRootRoute({
  component: Layout,
  notFoundComponent: () => <Missing message="There is no page at this address" />,
});

const routes = [
  createRoute({ getParentRoute: () => rootRoute, path: '/', component: HomePage }),
  createRoute({
    getParentRoute: () => rootRoute,
    path: '/explore',
    component: ExplorePage,
    validateSearch: readExploreSearch,
  }),
  createRoute({ getParentRoute: () => rootRoute, path: '/new', component: CreateRepositoryPage }),
  createRoute({ getParentRoute: () => rootRoute, path: '/tokens', component: TokensPage }),
  createRoute({
    getParentRoute: () => rootRoute,
    path: '/activate',
    component: ActivatePage,
    validateSearch: (search: Record<string, unknown>): { readonly code?: string } =>
      typeof search['code'] === 'string' && search['code'] !== '' ? { code: search['code'] } : {},
  }),
  createRoute({
    getParentRoute: () => rootRoute,
    path: '/signin',
    component: SignInPage,
    validateSearch: readReturn,
  }),
  createRoute({
    getParentRoute: () => rootRoute,
    path: '/signup',
    component: SignUpPage,
    validateSearch: readReturn,
  }),
  createRoute({
    getParentRoute: () => rootRoute,
    path: '/r/$',
    component: RepositoryPage,
    validateSearch: readRepositorySearch,
  }),
];

/** The pages and their addresses. */
export const router = createRouter({ routeTree: rootRoute.addChildren(routes), defaultPreload: 'intent' });

/** Where to go after signing in: only paths of our own. */
function readReturn(search: Record<string, unknown>): { readonly next?: string } {
  const next = search['next'];
  return typeof next === 'string' && /^\/(?![/\\])/.test(next) ? { next } : {};
}

function readExploreSearch(search: Record<string, unknown>): ExploreSearch {
  const { q, category } = search;
  return {
    ...(typeof q === 'string' && q !== '' ? { q } : {}),
    ...(typeof category === 'string' && category !== '' ? { category } : {}),
  };
}

function readRepositorySearch(search: Record<string, unknown>): RepositorySearch {
  const tab = search['tab'];
  return {
    ...(tab === 'tags' || tab === 'settings' || tab === 'general' ? { tab } : {}),
    ...(typeof search['reference'] === 'string' ? { reference: search['reference'] } : {}),
    ...(typeof search['view'] === 'string' ? { view: search['view'] } : {}),
  };
}

export { cloneGit, type GitSource, isGitUrl, parseGitUrl } from './clone.ts';
export { createFetcher, type Download, type Fetcher } from './http.ts';
export { fetchGit, fetchHttp } from './sources.ts';

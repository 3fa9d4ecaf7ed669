/**
 * Loads the exposition, and the library that it is made with, when somebody asks for metrics: an application that does not,
 * never loads either. By `require`, for an `import()` of a module of this package would have to name its built file.
 */
let loaded: typeof import('./exposition') | undefined;

export function loadExposition(): typeof import('./exposition') {
  return (loaded ??= require('./exposition') as typeof import('./exposition'));
}

export const htmlReport = () => '';

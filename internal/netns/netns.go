// Package netns runs tests in network namespaces of their own: with a network that nobody
// else uses and that they may set up as they like, without privileges. That is for Linux; elsewhere
// such tests are skipped. It is for tests only.
package netns

// Env is the variable that is set in the environment of processes that [Inside] starts.
const Env = "KITH_TEST_NAMESPACE"

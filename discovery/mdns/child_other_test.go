//go:build !linux

package mdns

const childEnv = "KITH_MDNS_CHILD"

func runChild(string) (code int, isNode bool) { return 0, false }

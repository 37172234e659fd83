package main

import (
	"os/exec"
	"testing"
)

// lan makes an interface that multicast works on, which loopback is not taken for. Both of its
// ends are here.
const lan = `ip link add lan0 type veth peer name lan1 && ip addr add 10.77.0.1/24 dev lan0 &&
	ip link set lan0 up && ip link set lan1 up`

// upLAN sets the network up. It skips t where the tool for that is missing, or the kernel has no such
// interfaces.
func upLAN(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("sh", "-c", lan).CombinedOutput(); err != nil {
		t.Skipf("no network interface can be made here: %v: %s", err, out)
	}
}

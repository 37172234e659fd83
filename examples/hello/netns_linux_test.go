package main

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// inside says to a process that it is in a network namespace that was made for it.
const inside = "HELLO_TEST_IN_NAMESPACE"

// inNamespace reports whether t runs in a network of its own, with one interface. If not, it
// runs the same test in a process that does, reports what became of it, and the caller returns. It needs no
// privileges, but user namespaces, and skips t where they are refused.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inside) != "" {
		upLAN(t)
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1", "-test.timeout=95s")
	cmd.Env = append(os.Environ(), inside+"=1", "GOCOVERDIR="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &exit):
		t.Skipf("no private network namespace can be made here: %v", err)
	case err != nil:
		t.Errorf("in a private network namespace: %v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP: "+t.Name()+" "):
		t.Skipf("in a private network namespace: skipped\n%s", out)
	default:
		t.Logf("in a private network namespace:\n%s", out)
	}
	return false
}

// lan makes an interface that multicast works on, which loopback is not taken for. Both of its
// ends are here.
const lan = `ip link set lo up && ip link add lan0 type veth peer name lan1 && ip addr add 10.77.0.1/24 dev lan0 &&
	ip link set lan0 up && ip link set lan1 up`

// upLAN sets the network up. It skips t where the tool for that is missing, or the kernel has no such
// interfaces.
func upLAN(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("sh", "-c", lan).CombinedOutput(); err != nil {
		t.Skipf("no network interface can be made here: %v: %s", err, out)
	}
}

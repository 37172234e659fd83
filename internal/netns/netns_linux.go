package netns

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Inside reports whether t runs in a network namespace of its own, with no interface but lo,
// which is up. If not, it runs the same test in a process that does, reports
// what became of it, and the caller returns; other tests run meanwhile if t is parallel. It needs no
// privileges, but user namespaces, and skips t where they are refused. t must not be a subtest.
func Inside(t *testing.T) bool {
	t.Helper()
	return InsideWith(t, 0)
}

// InsideWith does it with more namespaces, by the flags of clone.
func InsideWith(t *testing.T, flags uintptr) bool {
	t.Helper()
	if os.Getenv(Env) != "" {
		if err := SetUp("lo", true); err != nil {
			t.Fatalf("set up lo: %v", err)
		}
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1", "-test.timeout=95s")
	cmd.Env = append(os.Environ(), Env+"=1", "GOCOVERDIR="+t.TempDir())
	cmd.SysProcAttr = private(flags)
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

// private makes a process root of a network of its own, and of what flags say.
func private(flags uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | flags,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
}

// SetUp brings an interface of the namespace up, with multicast, or down.
func SetUp(name string, up bool) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, ifr); err != nil {
		return err
	}
	flags := ifr.Uint16() &^ unix.IFF_UP
	if up {
		flags |= unix.IFF_UP | unix.IFF_MULTICAST
	}
	ifr.SetUint16(flags)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

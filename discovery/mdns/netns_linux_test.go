package mdns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// childEnv tells a process that a test started what it is: the test again, inside of a private network namespace,
// or a node.
const childEnv = "KITH_MDNS_CHILD"

const insideNamespace, nodeProcess = "namespace", "node"

// inNamespace reports whether t runs in a network namespace of its own, with lo up. If not, it runs the same test
// in a process that does, and reports what became of it; the caller then returns. It needs no privileges, but user
// namespaces, and skips t where they are refused.
func inNamespace(t *testing.T) bool {
	t.Helper()
	return inNamespaceWith(t, 0)
}

// inNamespaceWith does it with more namespaces, by the flags of clone.
func inNamespaceWith(t *testing.T, flags uintptr) bool {
	t.Helper()
	if os.Getenv(childEnv) == insideNamespace {
		if err := setUpLoopback(); err != nil {
			t.Fatalf("set up lo: %v", err)
		}
		return true
	}
	t.Parallel() // here, it only waits
	args := []string{"-test.run=^" + t.Name() + "$", "-test.v", "-test.timeout=90s", "-test.count=1"}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), childEnv+"="+insideNamespace, "GOCOVERDIR="+t.TempDir())
	cmd.SysProcAttr = privateNetwork()
	cmd.SysProcAttr.Cloneflags |= flags
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

// privateNetwork makes a process root of a network of its own.
func privateNetwork() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:                 syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings:                []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings:                []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		GidMappingsEnableSetgroups: false,
		Pdeathsig:                  syscall.SIGKILL,
	}
}

// Addresses of lo.
var (
	nodeAddr     = [4]byte{10, 77, 0, 1}
	strangerAddr = [4]byte{10, 77, 0, 99}
)

// setUpLoopback brings lo up with multicast and what the query of hashicorp/mdns needs: a route, and an address that
// is more than the host's own.
func setUpLoopback() error {
	if err := setFlags("lo", true); err != nil {
		return err
	}
	if err := errors.Join(addAddress("lo:1", nodeAddr), addAddress("lo:2", strangerAddr)); err != nil {
		return err
	}
	return addMulticastRoute("lo")
}

// setFlags brings an interface up, with multicast, or down.
func setFlags(name string, up bool) error {
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

// addAddress adds an address with the prefix length that its class has.
func addAddress(name string, addr [4]byte) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := ifr.SetInet4Addr(addr[:]); err != nil {
		return err
	}
	return unix.IoctlIfreq(fd, unix.SIOCSIFADDR, ifr)
}

// A rtentry is the kernel's struct of this name.
type rtentry struct {
	_                     uintptr
	dst, gateway, netmask unix.RawSockaddrInet4
	flags                 uint16
	_                     int16
	_                     uintptr
	_                     uintptr
	metric                int16
	dev                   *byte
	mtu, window           uintptr
	irtt                  uint16
}

func addMulticastRoute(dev string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	name, err := unix.BytePtrFromString(dev)
	if err != nil {
		return err
	}
	rt := rtentry{flags: unix.RTF_UP, dev: name}
	rt.dst = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: [4]byte{224}}
	rt.gateway.Family = unix.AF_INET
	rt.netmask = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: [4]byte{240}}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCADDRT, uintptr(unsafe.Pointer(&rt)))
	if errno != 0 && errno != unix.EEXIST {
		return fmt.Errorf("add route: %w", errno)
	}
	return nil
}

// runIP runs the tool ip, and skips t where there is none.
func runIP(t *testing.T, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("the tool ip is not installed")
	}
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// patience is the bound that tells a hang from an end.
const patience = 20 * time.Second

// newSockets makes a Discovery on the interfaces named.
func newSockets(t testing.TB, cfg Config, names ...string) *Discovery {
	t.Helper()
	cfg.Interfaces = Named(names...)
	if testing.Verbose() {
		cfg.Logger = testLogger(os.Stderr)
	}
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
	})
	return d
}

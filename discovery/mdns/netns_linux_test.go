package mdns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/kith-go/kith/internal/netns"
	"golang.org/x/sys/unix"
)

// inNamespace is netns.Inside with the interface lo set up for multicast. The test runs beside others.
func inNamespace(t *testing.T) bool {
	t.Helper()
	return inNamespaceWith(t, 0)
}

// inNamespaceWith does it with more namespaces, by the flags of clone.
func inNamespaceWith(t *testing.T, flags uintptr) bool {
	t.Helper()
	if os.Getenv(netns.Env) == "" {
		t.Parallel() // here, it only waits
	}
	if !netns.InsideWith(t, flags) {
		return false
	}
	if err := setUpLoopback(); err != nil {
		t.Fatalf("set up lo: %v", err)
	}
	return true
}

// Addresses of lo.
var (
	nodeAddr     = [4]byte{10, 77, 0, 1}
	strangerAddr = [4]byte{10, 77, 0, 99}
)

// setUpLoopback brings lo up with multicast and what the query of hashicorp/mdns needs: a route, and an address that
// is more than the host's own.
func setUpLoopback() error {
	if err := netns.SetUp("lo", true); err != nil {
		return err
	}
	if err := errors.Join(addAddress("lo:1", nodeAddr), addAddress("lo:2", strangerAddr)); err != nil {
		return err
	}
	return addMulticastRoute("lo")
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

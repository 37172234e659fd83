package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Addresses of the two ends, from the range for benchmarks (RFC 2544).
const (
	linkServer   = "198.18.77.1"
	linkNear     = "198.18.77.2"
	linkDevice   = "bench0"
	linkQueueLen = 512 // packets on the way in each direction
)

// A link is two network namespaces and the wire between them: a tun device in each, and
// in this process what carries packets from one to the other, late, and not all of them.
// It runs readLoop and writeLoop for each direction.
type link struct {
	names   [2]string // of the namespaces: server, client
	devices [2]*os.File
	wg      sync.WaitGroup
}

// newLinkFor makes a link if w needs one, and else returns nil.
func newLinkFor(w workload, rows []*row) (*link, error) {
	if w.name != "W10" || len(rows) == 0 {
		return nil, nil
	}
	l := &link{}
	for i, addr := range []string{linkServer, linkNear} {
		if err := l.addEnd(i, addr); err != nil {
			return nil, errors.Join(err, l.remove())
		}
	}
	for i := range l.devices {
		w := &wire{from: l.devices[i], to: l.devices[1-i], queue: make(chan chunk, linkQueueLen)}
		w.rand = rand.New(rand.NewPCG(77, uint64(i))) // the same losses in every run
		l.wg.Go(w.readLoop)
		l.wg.Go(w.writeLoop)
	}
	return l, nil
}

// addEnd makes namespace i with a device that has addr.
func (l *link) addEnd(i int, addr string) error {
	name := fmt.Sprintf("kith-bench-%d-%d", os.Getpid(), i)
	if err := ip("netns", "add", name); err != nil {
		return err
	}
	l.names[i] = name
	// A thread that went to another namespace ends with its goroutine, which is locked
	// to it: none of ours is ever left there.
	opened := make(chan error, 1)
	go l.openHandler(i, opened)
	if err := <-opened; err != nil {
		return err
	}
	return errors.Join(
		ip("-n", name, "addr", "add", addr+"/24", "dev", linkDevice),
		ip("-n", name, "link", "set", "lo", "up"),
		ip("-n", name, "link", "set", linkDevice, "up", "mtu", "1500", "txqueuelen", "1000"),
	)
}

// openHandler opens the device of namespace i, and ends when it has said so.
func (l *link) openHandler(i int, opened chan<- error) {
	runtime.LockOSThread() // for good
	ns, err := os.Open("/var/run/netns/" + l.names[i])
	if err != nil {
		opened <- err
		return
	}
	defer func() { _ = ns.Close() }() // it was only read
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		opened <- fmt.Errorf("setns: %w", err)
		return
	}
	l.devices[i], err = openTun(linkDevice)
	opened <- err
}

func openTun(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w", err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		_ = unix.Close(fd) // it has no device
		return nil, fmt.Errorf("tun device: %w", err)
	}
	return os.NewFile(uintptr(fd), "tun"), nil
}

// inServer and inClient are what a command runs under to be at an end of the link.
func (l *link) inServer() []string { return []string{"ip", "netns", "exec", l.names[0]} }

func (l *link) inClient() []string { return []string{"ip", "netns", "exec", l.names[1]} }

// close removes the namespaces; a nil link has none.
func (l *link) close(progress io.Writer) {
	if l == nil {
		return
	}
	if err := l.remove(); err != nil {
		_, _ = fmt.Fprintln(progress, err) // the figures are good all the same
	}
}

// remove closes the devices, which ends the loops, and waits for them.
func (l *link) remove() error {
	var errs []error
	for _, d := range l.devices {
		if d != nil {
			errs = append(errs, d.Close())
		}
	}
	l.wg.Wait()
	for _, name := range l.names {
		if name != "" {
			errs = append(errs, ip("netns", "del", name))
		}
	}
	return errors.Join(errs...)
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %q: %w: %s", args, err, out)
	}
	return nil
}

// A wire is one direction of a link.
type wire struct {
	from, to *os.File
	rand     *rand.Rand
	queue    chan chunk // sent and closed by readLoop
}

// readLoop takes packets as they are sent, and drops what is lost or finds the queue
// full. It ends with the device; remove waits for it.
func (w *wire) readLoop() {
	defer close(w.queue)
	buf := make([]byte, 64<<10)
	var free time.Time // when the wire has sent all that waits
	for {
		n, err := w.from.Read(buf)
		if err != nil {
			return
		}
		now := time.Now()
		if free.Before(now) {
			free = now
		}
		waiting := free.Sub(now).Seconds() * linkBits / 8
		if waiting+float64(n) > linkQueue || w.rand.Float64() < linkLoss {
			continue
		}
		free = free.Add(time.Duration(n) * 8 * time.Second / linkBits)
		select {
		case w.queue <- chunk{append([]byte(nil), buf[:n]...), free.Add(linkDelay)}:
		default: // many small packets
		}
	}
}

// writeLoop delivers packets when they are due. It ends with readLoop; remove waits for it.
func (w *wire) writeLoop() {
	for c := range w.queue {
		time.Sleep(time.Until(c.at))
		_, _ = w.to.Write(c.p) // the device is closed, or its packet is lost
	}
}

package mdns

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const dbusConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*"/> <allow receive_sender="*"/> <allow own="*"/> <allow user="*"/>
  </policy>
</busconfig>
`

const avahiConfig = `[server]
host-name=kith-test
allow-interfaces=lo
use-ipv6=no
[publish]
publish-hinfo=no
publish-workstation=no
`

// startAvahi runs an avahi daemon and what it needs in the namespace of the test, or skips it.
func startAvahi(t *testing.T) {
	t.Helper()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Skipf("no private file system can be made here: %v", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		t.Skipf("no private file system can be made here: %v", err)
	}
	dir := t.TempDir()
	bus, avahi := filepath.Join(dir, "bus.conf"), filepath.Join(dir, "avahi.conf")
	// In a user namespace there is only root: avahi's own user must be it.
	passwd, group := filepath.Join(dir, "passwd"), filepath.Join(dir, "group")
	for name, text := range map[string]string{
		bus: dbusConfig, avahi: avahiConfig,
		passwd: "root:x:0:0::/:/bin/sh\navahi:x:0:0::/:/bin/sh\nmessagebus:x:0:0::/:/bin/sh\n",
		group:  "root:x:0:\navahi:x:0:\nnetdev:x:0:\nmessagebus:x:0:\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, over := range map[string]string{passwd: "/etc/passwd", group: "/etc/group"} {
		if err := unix.Mount(name, over, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/run/bus")
	background(t, "unix:", "dbus-daemon", "--config-file="+bus, "--nofork", "--nopidfile", "--print-address")
	background(t, "Server startup complete", "avahi-daemon", "--file="+avahi, "--no-drop-root", "--no-chroot", "--no-rlimits")
}

// background runs a program until the test ends. It returns when the program has written the text ready.
func background(t *testing.T, ready, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen := make(chan bool, 1)
	go watchOutputLoop(r, ready, seen) // ends when the program does
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = w.Close()
	})
	select {
	case ok := <-seen:
		if !ok {
			t.Fatalf("%s ended without %q", name, ready)
		}
	case <-time.After(patience):
		t.Fatalf("%s has not written %q in %v", name, ready, patience)
	}
}

func watchOutputLoop(r io.Reader, ready string, seen chan<- bool) {
	found := false
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if testing.Verbose() {
			_, _ = os.Stderr.WriteString(lines.Text() + "\n")
		}
		if !found && strings.Contains(lines.Text(), ready) {
			found = true
			seen <- true
		}
	}
	if !found {
		seen <- false
	}
}

// A node lives beside an avahi daemon on the same host, and the tools of avahi see it.
func TestAvahi(t *testing.T) {
	for _, tool := range []string{"avahi-daemon", "avahi-browse", "dbus-daemon"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	if !inNamespaceWith(t, syscall.CLONE_NEWNS) {
		return
	}
	startAvahi(t)
	d, id := newSockets(t, Config{}, "lo"), newIdentity()
	advertise(t, d, id)
	if d.Stats().Responder {
		t.Errorf("Stats().Responder = true beside avahi, want false")
	}
	w := browse(t, newSockets(t, Config{}, "lo"))
	w.until(patience, "a node beside avahi", w.knows(id))

	out, err := exec.Command("avahi-browse", "--resolve", "--parsable", "--terminate", "_kith._udp").CombinedOutput()
	if err != nil {
		t.Fatalf("avahi-browse: %v: %s", err, out)
	}
	t.Logf("avahi-browse:\n%s", out)
	want := "=;lo;IPv4;" + id.ID().String() + ";_kith._udp;local;" + id.ID().String() + ".local;10.77.0.1;4433;"
	if !strings.Contains(string(out), want) || !strings.Contains(string(out), `"v=1"`) {
		t.Errorf("avahi-browse wrote\n%s\nwant a line with %s", out, want)
	}

	// Still answered, with avahi being on the port: a doubt is settled, and a goodbye heard.
	w.Suspect(id.ID())
	if ev := w.drain(time.Second); len(ev) != 0 {
		t.Errorf("after Suspect of a live node beside avahi: %v, want no event", kinds(ev))
	}
}

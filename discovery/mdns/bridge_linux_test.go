package mdns

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A bridge joins network namespaces, each with one node.
type bridge struct {
	t     *testing.T
	count int
}

// newBridge makes one in the namespace of the test, or skips it where the machine cannot.
func newBridge(t *testing.T) *bridge {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("the tool ip is not installed")
	}
	if out, err := exec.Command("ip", "link", "add", "br0", "type", "bridge").CombinedOutput(); err != nil {
		t.Skipf("no bridge can be made here: %v: %s", err, out)
	}
	runIP(t, "link", "set", "br0", "up")
	return &bridge{t: t}
}

// node starts a node on a host of its own, with the interface "e" and its number.
func (b *bridge) node(env ...string) *process {
	b.t.Helper()
	b.count++
	n := strconv.Itoa(b.count)
	p := startNode(b.t, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}, "e"+n, env...)
	b.plug(p, n)
	p.sync()
	return p
}

func (b *bridge) plug(p *process, n string) {
	b.t.Helper()
	runIP(b.t, "link", "add", "v"+n, "type", "veth", "peer", "name", "e"+n)
	runIP(b.t, "link", "set", "e"+n, "netns", strconv.Itoa(p.cmd.Process.Pid))
	runIP(b.t, "link", "set", "v"+n, "master", "br0", "up")
	p.tell("ip link set lo up")
	p.tell("ip addr add 10.88.0." + n + "/24 dev e" + n)
	p.tell("ip link set e" + n + " up")
}

func TestBridge(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	b := newBridge(t)
	nodes := []*process{b.node(), b.node(), b.node("KITH_MDNS_STANDALONE=1")}
	for _, p := range nodes {
		p.tell("browse")
		p.tell("advertise")
	}
	t.Logf("all know all: %v", took(func() { allFound(t, nodes) }))
	a, c := nodes[0], nodes[2]
	idA, idC := a.name, c.name

	a.tell("update quic://10.88.0.1:77")
	t.Logf("update: %v", took(func() { c.until("Changed " + idA) }))

	c.kill()
	a.tell("suspect " + idC)
	t.Logf("kill -9 and Suspect until Lost: %v", took(func() { a.until("Lost " + idC) }))

	d := b.node()
	d.tell("browse")
	t.Logf("newcomer: %v", took(func() { d.until("Found " + idA) }))
	a.tell("leave")
	t.Logf("leave: %v", took(func() { d.until("Lost " + idA) }))
}

// allFound waits until each knows all others.
func allFound(t *testing.T, nodes []*process) {
	t.Helper()
	for i, p := range nodes {
		want := make(map[string]bool)
		for j, o := range nodes {
			if i != j {
				want[o.name] = true
			}
		}
		for len(want) > 0 {
			delete(want, strings.Fields(p.until("Found "))[1])
		}
	}
}

// An interface that goes away and comes back, with another address, is used again without a restart.
func TestBridgeInterfaceChanges(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	b := newBridge(t)
	one, two := b.node(), b.node()
	one.tell("browse")
	two.tell("advertise")
	id := two.name
	one.until("Found " + id)

	two.tell("ip link set e2 down")
	one.tell("suspect " + id)
	t.Logf("interface down: Lost after %v", took(func() { one.until("Lost " + id) }))
	two.tell("ip link set e2 up")
	t.Logf("interface up: Found after %v", took(func() { one.until("Found " + id) }))

	two.tell("ip addr flush dev e2")
	two.tell("ip addr add 10.88.0.200/24 dev e2")
	two.tell("update quic://10.88.0.200:1")
	t.Logf("address changed and updated: %v", took(func() { one.until("Changed " + id) }))

	// The interface is deleted and made again: another index, and every membership gone.
	runIP(t, "link", "del", "v2")
	one.tell("suspect " + id)
	one.until("Lost " + id)
	b.plug(two, "2")
	t.Logf("interface made again: Found after %v", took(func() { one.until("Found " + id) }))
}

func TestBridgeIPv6Only(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
		t.Skip("no IPv6 here")
	}
	b := newBridge(t)
	one, two := b.node("KITH_MDNS_NO4=1"), b.node()
	one.tell("browse")
	one.tell("advertise")
	two.tell("browse")
	two.tell("advertise")
	t.Logf("an IPv6-only and a dual-stack node know each other: %v", took(func() { allFound(t, []*process{one, two}) }))
	id := two.name
	two.kill()
	one.tell("suspect " + id)
	t.Logf("kill -9 and Suspect until Lost: %v", took(func() { one.until("Lost " + id) }))
}

func TestManyProcessesOnOneHost(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	var nodes []*process
	for range 5 {
		nodes = append(nodes, startNode(t, nil, "lo"))
	}
	for _, p := range nodes {
		p.tell("browse")
		p.tell("advertise")
	}
	t.Logf("five processes know each other: %v", took(func() { allFound(t, nodes) }))
	first, id := nodes[0], nodes[4].name
	nodes[4].kill()
	first.tell("suspect " + id)
	t.Logf("kill -9 and Suspect until Lost: %v", took(func() { first.until("Lost " + id) }))
	again := startNode(t, nil, "lo")
	again.tell("advertise")
	fresh := again.name
	t.Logf("restart: %v", took(func() { first.until("Found " + fresh) }))
	for i := 1; i < 4; i++ {
		nodes[i].tell("suspect " + first.name)
	}
	first.tell("leave")
	for i := 1; i < 4; i++ {
		nodes[i].until("Lost " + first.name)
	}
}

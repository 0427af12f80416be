package rehearse

import (
	"fmt"
	"strings"
)

// table is the one that the rules are in. No other is touched.
const table = "nodeseal_rehearse"

// rules are what nft is given: a table of its own, before connection tracking and what
// other programs do. Each unit has a chain that rehearse.sh fills when the unit has a
// control group. The elements of armed go soon after the time is over, which ends the cut
// whatever becomes of systemd.
func rules(allow []Allowed, units []string) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("table inet %s\ndelete table inet %s\ntable inet %s {", table, table, table)
	p("\tset armed {\n\t\ttypeof meta nfproto\n\t\tflags timeout\n\t\telements = { ipv4 timeout @SECONDS@s, ipv6 timeout @SECONDS@s }\n\t}")
	for i := range units {
		for _, family := range []string{"4", "6"} {
			p("\tset to%s_%d {\n\t\ttype ipv%s_addr . inet_proto . inet_service\n\t\tsize 65535\n\t\tflags dynamic\n\t\tcounter\n\t}", family, i+1, family)
		}
		p("\tcounter other_%d {\n\t}", i+1)
	}
	p("\tchain output {\n\t\ttype filter hook output priority -310; policy accept;")
	p("\t\toifname \"lo\" accept\n\t\tmeta nfproto != @armed accept")
	for _, a := range allow {
		family, port := "ip", ""
		if a.Address.Addr().Is6() {
			family = "ip6"
		}
		if a.Port != 0 {
			port = fmt.Sprintf(" meta l4proto { tcp, udp } th dport %d", a.Port)
		}
		p("\t\t%s daddr %s%s accept", family, a.Address, port)
	}
	for i := range units {
		p("\t\tjump who_%d", i+1)
	}
	p("\t}")
	for i, unit := range units {
		n := i + 1
		p("\t# %s\n\tchain who_%d {\n\t}", unit, n)
		p("\tchain cut_%d {", n)
		p("\t\tmeta l4proto { tcp, udp } meta nfproto ipv4 update @to4_%d { ip daddr . meta l4proto . th dport }", n)
		p("\t\tmeta l4proto { tcp, udp } meta nfproto ipv6 update @to6_%d { ip6 daddr . meta l4proto . th dport }", n)
		p("\t\tmeta l4proto != { tcp, udp } counter name \"other_%d\"", n)
		p("\t\tmeta l4proto tcp reject with tcp reset\n\t\treject with icmpx admin-prohibited\n\t}")
	}
	p("}")
	return b.String()
}

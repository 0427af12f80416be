package rehearse

import (
	_ "embed" // the script
	"fmt"
	"slices"
	"strings"
)

//go:embed rehearse.sh
var script []byte

const (
	unitName  = "nodeseal-rehearse.service"
	bootName  = "nodeseal-rehearse-boot.service"
	endName   = "nodeseal-rehearse-end"
	dropIn    = "50-nodeseal-rehearse.conf"
	liveShell = "/bin/sh /" + live + "/rehearse.sh "
)

// files are what a rehearsal is made of, by their names below /var/lib/nodeseal/rehearse.
// What is in system goes to /run/systemd/system.
func files(p *Plan) map[string]string {
	before := strings.Join(append(slices.Clone(p.Units), kubelet), " ")
	// What else is to be cut may start early in a boot: an order with it could be a circle.
	early := strings.Join(append([]string{crio, kubelet}, pullers()...), " ")
	out := map[string]string{
		"rehearse.sh": string(script),
		"cut.nft":     p.Rules,
		"units":       strings.Join(p.Units, "\n") + "\n",
		"system/" + unitName: fmt.Sprintf(`[Unit]
Description=nodeseal rehearse: %s cut off
Wants=%s.timer
Before=%s
RequiresMountsFor=/%s
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=%sstart
ExecStopPost=%sstop
`, p.Units[0], endName, before, kept, liveShell, liveShell),
		"system/" + endName + ".timer": fmt.Sprintf(`[Unit]
Description=The end of nodeseal rehearse
BindsTo=%s
After=%s
[Timer]
OnActiveSec=@SECONDS@s
AccuracySec=1s
`, unitName, unitName),
		"system/" + endName + ".service": fmt.Sprintf(`[Unit]
Description=Ends nodeseal rehearse
[Service]
Type=oneshot
ExecStart=%send
`, liveShell),
		bootName: fmt.Sprintf(`[Unit]
Description=nodeseal rehearse: cuts again, after the reboot that it ordered
ConditionPathExists=/%s/order
RequiresMountsFor=/%s
Before=%s
[Service]
Type=oneshot
TimeoutStartSec=60
ExecStart=/bin/sh /%s/rehearse.sh boot
`, kept, kept, early, kept),
	}
	for _, unit := range p.Units {
		// A condition runs before what the unit itself has in ExecStartPre, which may pull.
		// Neither a failure nor a program that hangs may keep the unit from starting: the
		// report tells it.
		out["system/"+unit+".d/"+dropIn] = "[Service]\nExecCondition=-+/usr/bin/timeout 20 " + liveShell + "attach %n\n"
	}
	return out
}

package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// The rules here follow openshift/machine-config-operator: a ContainerRuntimeConfig becomes a
// MachineConfig of each pool that it selects, with a storage.conf of the release's template and its own
// settings, and a drop-in of CRI-O for each other setting
// (pkg/controller/container-runtime-config, syncContainerRuntimeConfig and helpers.go). MachineConfigs
// are merged in the order of their names, those of worker before those of a custom pool, and of one file
// the last is taken whole (pkg/controller/common/helpers.go, MergeMachineConfigs).

// inStorageConf and inDropIns are the settings of a ContainerRuntimeConfig by where they are written.
func inStorageConf() []string {
	return []string{"overlaySize", "additionalImageStores", "additionalLayerStores"}
}

func inDropIns() []string {
	return []string{"pidsLimit", "logLevel", "logSizeMax", "defaultRuntime", "additionalArtifactStores"}
}

// runtimeConfig is a ContainerRuntimeConfig.
type runtimeConfig struct {
	kubeobject.Object
	selector labels.Selector
	settings map[string]string
	// suffix is that of its MachineConfigs.
	suffix string
}

// runtimeConfigs returns the ContainerRuntimeConfigs.
func (s *Snapshot) runtimeConfigs() []runtimeConfig {
	var out []runtimeConfig
	for _, o := range s.Settings["ContainerRuntimeConfig.machineconfiguration.openshift.io"] {
		var v struct {
			Spec struct {
				Pools   *metav1.LabelSelector `json:"machineConfigPoolSelector"`
				Runtime map[string]any        `json:"containerRuntimeConfig"`
			} `json:"spec"`
		}
		if o.Decode(&v) != nil {
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(v.Spec.Pools)
		if err != nil {
			continue // the MCO refuses it, too
		}
		c := runtimeConfig{
			Object: o, selector: selector, settings: make(map[string]string),
			suffix: o.Metadata.Annotations["machineconfiguration.openshift.io/mc-name-suffix"],
		}
		for key, value := range v.Spec.Runtime {
			list, isList := value.([]any)
			if value != nil && value != "" && value != "0" && (!isList || len(list) > 0) {
				c.settings[key] = fmt.Sprint(value)
			}
		}
		out = append(out, c)
	}
	return out
}

// sets returns which of the keys it sets.
func (c runtimeConfig) sets(keys []string) []string {
	return slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return c.settings[k] == "" })
}

// written is a MachineConfig that writes settings.
type written struct {
	name, role string
	by         runtimeConfig
}

// ordered is the order in which the MCO merges.
func ordered(a, b written) int {
	custom := func(w written) int {
		if w.role == "worker" {
			return 0
		}
		return 1
	}
	return cmp.Or(custom(a)-custom(b), strings.Compare(a.name, b.name))
}

// rolesOf are the roles of the MachineConfigs that nodes of a pool get.
func rolesOf(pool string) []string {
	if pool == "master" || pool == "arbiter" || pool == "worker" {
		return []string{pool}
	}
	return []string{"worker", pool}
}

// poolLabels are the labels of the pools.
func (s *Snapshot) poolLabels() map[string]map[string]string {
	out := make(map[string]map[string]string)
	for _, o := range s.Settings[poolKind] {
		out[o.Metadata.Name] = o.Metadata.Labels
	}
	return out
}

// writtenFor returns what the configurations become for the nodes of a pool, in the order of merging.
func writtenFor(pool string, pools map[string]map[string]string, configs []runtimeConfig) []written {
	var out []written
	for _, c := range configs {
		for _, role := range rolesOf(pool) {
			// As the MCO: a selector that is empty matches nothing.
			l, ok := pools[role]
			if !ok || c.selector.Empty() || !c.selector.Matches(labels.Set(l)) {
				continue
			}
			w := written{name: "99-" + role + "-generated-containerruntime", role: role, by: c}
			if c.suffix != "" {
				w.name += "-" + c.suffix
			}
			out = append(out, w)
		}
	}
	slices.SortStableFunc(out, ordered)
	return out
}

// overwrittenStorageConf finds objects whose storage.conf and the one that names the stores are one file:
// either the stores are lost, or what the object sets.
func overwrittenStorageConf(s *Snapshot) []Finding {
	pools := s.poolLabels()
	configs := s.runtimeConfigs()
	if len(pools) == 0 { // no pool was read: each may select that of ours
		pools = make(map[string]map[string]string)
		for _, c := range s.withStores() {
			pools[cmp.Or(c.Role, "worker")] = map[string]string{"any": "pool"}
		}
		for i := range configs {
			configs[i].selector = labels.SelectorFromSet(labels.Set{"any": "pool"})
		}
	}
	names := make([]string, 0, len(pools))
	for name := range pools {
		names = append(names, name)
	}
	slices.Sort(names)
	var out []Finding
	for _, c := range configs {
		sets := c.sets(inStorageConf())
		if len(sets) == 0 {
			continue
		}
		var won, lost []string // pools, by who writes their storage.conf last
		ours := ""
		for _, pool := range names {
			for _, w := range writtenFor(pool, pools, []runtimeConfig{c}) {
				last, ok := s.lastWithStores(pool)
				switch {
				case !ok:
				case ordered(w, last) < 0:
					lost, ours = append(lost, pool), last.name
				default:
					won = append(won, pool)
				}
			}
		}
		what := "It sets " + strings.Join(sets, " and ") + ", so the MCO writes " + storageConf + " itself, while a MachineConfig names image stores there."
		switch {
		case len(won) > 0:
			out = append(out, Finding{
				Rule: "storage-conf-overwritten", Severity: Breaks, Object: c.String(), What: what + " Pools: " + strings.Join(won, ", ") + ".",
				Why:  "Of two MachineConfigs that write the file the last one counts, and that is the MCO's: after the next change the nodes have lost their stores.",
				Mend: "Drop the setting here and put the value into the storage.conf of 99-zzz-nodeseal-<pool>, or name the stores here alone.",
			})
		case len(lost) > 0:
			out = append(out, Finding{
				Rule: "storage-conf-overwritten", Severity: Warning, Object: c.String(), What: what + " Pools: " + strings.Join(slices.Compact(lost), ", ") + ".",
				Why: "Of two MachineConfigs that write the file the last one counts, and that is " + ours + ": the nodes keep their stores, and " +
					strings.Join(sets, " and ") + " has no effect.",
				Mend: "Drop the setting here. An overlaySize belongs in the storage.conf of " + ours + ", as size in [storage.options]; a store in its additionalimagestores.",
			})
		}
	}
	return out
}

// lastWithStores returns the MachineConfig by people whose storage.conf with stores is the last for
// the nodes of a pool.
func (s *Snapshot) lastWithStores(pool string) (last written, ok bool) {
	for _, c := range s.withStores() {
		w := written{name: c.Name, role: cmp.Or(c.Role, "worker")}
		if c.Controller == "" && slices.Contains(rolesOf(pool), w.role) && (!ok || ordered(last, w) < 0) {
			last, ok = w, true
		}
	}
	return last, ok
}

// unmergedRuntimeConfigs finds pools with several ContainerRuntimeConfigs of which the last takes settings
// away from the others: the whole storage.conf, or a drop-in that both write.
func unmergedRuntimeConfigs(s *Snapshot) []Finding {
	pools, configs := s.poolLabels(), s.runtimeConfigs()
	var out []Finding
	for _, p := range s.pools() {
		all := writtenFor(p.name, pools, configs)
		storage, dropIns := inStorageConf(), inDropIns()
		if _, ours := s.lastWithStores(p.name); ours {
			storage = nil // storage-conf-overwritten's
		}
		for i, w := range all {
			var lost []string
			by := ""
			for _, later := range all[i+1:] {
				var taken []string
				if len(later.by.sets(storage)) > 0 {
					taken = append(taken, w.by.sets(storage)...)
				}
				for _, key := range append(taken, later.by.sets(dropIns)...) {
					if own := w.by.settings[key]; own != "" && own != later.by.settings[key] && !slices.Contains(lost, key) {
						lost, by = append(lost, key), later.by.String()
					}
				}
			}
			if len(lost) > 0 {
				out = append(out, unmerged(p.name, w, lost, by))
			}
		}
	}
	return out
}

func unmerged(pool string, w written, lost []string, by string) Finding {
	slices.Sort(lost)
	f := Finding{
		Rule: "runtime-configs-unmerged", Severity: Warning, Object: "MachineConfigPool " + pool + " " + w.by.Metadata.Name,
		What: fmt.Sprintf("%s and %s are both for this pool, and %s of the first has no effect.", w.by.String(), by, strings.Join(lost, " and ")),
		Why:  "The MCO makes a MachineConfig of each, and does not merge what they say: of a file that both write the last one counts, and storage.conf is one file.",
		Mend: "Put all settings of the pool into one ContainerRuntimeConfig, and delete the other.",
	}
	if slices.Contains(lost, "additionalImageStores") {
		f.Severity = Breaks
		f.Why += " The nodes lose their image stores."
	}
	return f
}

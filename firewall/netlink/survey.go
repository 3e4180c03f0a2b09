package netlink

import (
	"fmt"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/firewall/coexist"
)

// View is a survey and the generation of the kernel's ruleset that it shows:
// whoever changes anything makes a new one.
type View struct {
	Survey     *coexist.Survey
	Generation uint32
}

// at returns the view with another generation.
func (v *View) at(generation uint32) *View {
	if v.Generation == generation {
		return v
	}
	return &View{Survey: v.Survey, Generation: generation}
}

// maxReads is how often a ruleset is read that others change meanwhile.
const maxReads = 8

// ReadSurvey reads the rules of others on the hooks input, forward and output.
// Of sets it reads only those that are asked by interface, protocol, port or
// state of the connection; lists of addresses, which may be long, are not read.
// last, which may be nil, is returned again if it still holds.
func ReadSurvey(conn *Conn, last *View) (view *View, err error) {
	err = conn.use(func(socket *netlink.Conn) error {
		view, err = conn.viewLocked(socket, last)
		return err
	})
	return view, err
}

// viewLocked reads the rules of others, or returns what was read last if only we
// have changed anything since.
func (c *Conn) viewLocked(socket *netlink.Conn, last *View) (*View, error) {
	r := reader{conn: socket}
	before, err := r.generation()
	if err != nil {
		return nil, err
	}
	if last != nil && c.aloneLocked(last.Generation, before) {
		return last.at(before), nil
	}
	view := &View{}
	for range maxReads {
		if view.Survey, err = readSurvey(socket, accepts()); err != nil {
			return nil, err
		}
		if view.Generation, err = r.generation(); err != nil || view.Generation == before {
			return view, err
		}
		before = view.Generation
	}
	// On a host where rules change all the time what was seen last is as true as
	// any; a batch of changes says which generation it is for.
	return view, nil
}

// generation returns the number of the kernel's ruleset.
func (r *reader) generation() (n uint32, err error) {
	replies, err := r.get(unix.NFT_MSG_GETGEN, 0)
	for _, m := range replies {
		err = decode(m, func(ad *netlink.AttributeDecoder) {
			if ad.Type() == unix.NFTA_GEN_ID {
				n = ad.Uint32()
			}
		})
	}
	return n, wrap(err, "reading the generation of the ruleset")
}

// scope is what is read.
type scope struct {
	families []byte
	hooks    map[byte]map[uint32]coexist.Hook // by family; 0: of all others
	kinds    []string                         // of chains
	lists    bool                             // also sets of addresses
	links    map[int]string                   // by their index, for rules that ask for that
	queues   map[uint16]bool                  // to which programs listen; nil: not known
}

// accepts is where virbrd has others let packets pass. Chains of type route are those
// of the hook output only, as iptables' mangle table has them.
func accepts() scope {
	return scope{
		families: []byte{unix.NFPROTO_INET, unix.NFPROTO_IPV4, unix.NFPROTO_IPV6},
		hooks: map[byte]map[uint32]coexist.Hook{0: {
			unix.NF_INET_LOCAL_IN: coexist.Input, unix.NF_INET_FORWARD: coexist.Forward, unix.NF_INET_LOCAL_OUT: coexist.Output,
		}},
		kinds: []string{"filter", "route"},
	}
}

// everywhere is all that may end a packet's way.
func everywhere() scope {
	const ingress, egress, ingressInet = 0, 1, 5 // NF_NETDEV_*, NF_INET_INGRESS
	return scope{
		families: []byte{
			unix.NFPROTO_INET, unix.NFPROTO_IPV4, unix.NFPROTO_IPV6, unix.NFPROTO_BRIDGE, unix.NFPROTO_NETDEV, unix.NFPROTO_ARP,
		},
		hooks: map[byte]map[uint32]coexist.Hook{
			0: { // those of bridges have the same numbers (NF_BR_*)
				unix.NF_INET_PRE_ROUTING: coexist.Prerouting, unix.NF_INET_LOCAL_IN: coexist.Input, unix.NF_INET_FORWARD: coexist.Forward,
				unix.NF_INET_LOCAL_OUT: coexist.Output, unix.NF_INET_POST_ROUTING: coexist.Postrouting, ingressInet: coexist.Ingress,
			},
			unix.NFPROTO_NETDEV: {ingress: coexist.Ingress, egress: coexist.Egress},
			unix.NFPROTO_ARP:    {0: coexist.Input, 1: coexist.Output}, // NF_ARP_*
		},
		kinds: []string{"filter", "route", "nat"},
		lists: true,
	}
}

// ReadAll reads the rules of others on all hooks that packets of guests pass, sets of
// addresses included. links are the names of links by their index, queues those of
// nfqueue to which programs listen.
func ReadAll(conn *Conn, links map[int]string, queues map[uint16]bool) (s *coexist.Survey, err error) {
	err = conn.use(func(socket *netlink.Conn) error {
		all := everywhere()
		all.links, all.queues = links, queues
		s, err = readSurvey(socket, all)
		return err
	})
	return s, err
}

func readSurvey(socket *netlink.Conn, sc scope) (*coexist.Survey, error) {
	s := &coexist.Survey{}
	for _, family := range sc.families {
		r := reader{conn: socket, family: family}
		list, err := r.surveyChains(&sc)
		if err != nil {
			return nil, err
		}
		for i := range list {
			if !hooked(&list[i]) {
				continue
			}
			r.table = list[i].Name
			if err := r.surveyTable(&list[i], &sc); err != nil {
				return nil, err
			}
			s.Tables = append(s.Tables, list[i])
		}
	}
	return s, nil
}

// hooked reports whether packets come to a table of somebody else.
func hooked(t *coexist.Table) bool {
	if t.Family == families[unix.NFPROTO_INET] && t.Name == firewall.TableName {
		return false
	}
	for _, c := range t.Chains {
		if c.Hook != "" {
			return true
		}
	}
	return false
}

// surveyChains returns the tables of the reader's family with their chains.
func (r *reader) surveyChains(sc *scope) ([]coexist.Table, error) {
	if alone, err := r.alone(); alone || err != nil {
		return nil, err
	}
	replies, err := r.get(unix.NFT_MSG_GETCHAIN, netlink.Dump)
	if err != nil {
		return nil, fmt.Errorf("listing chains: %w", err)
	}
	var list []coexist.Table
	index := map[string]int{}
	for _, m := range replies {
		if len(m.Data) < 4 || m.Data[0] != r.family {
			continue
		}
		table, c, err := sc.decodeChain(m, r.family)
		if err != nil {
			return nil, fmt.Errorf("listing chains: %w", err)
		}
		i, ok := index[table]
		if !ok {
			i = len(list)
			index[table] = i
			list = append(list, coexist.Table{Family: families[r.family], Name: table})
		}
		list[i].Chains = append(list[i].Chains, c)
	}
	return list, nil
}

// alone reports whether the reader's family has no table but ours. Only then
// nobody needs the list of chains, of which we have thousands perhaps.
func (r *reader) alone() (bool, error) {
	names, err := r.listTables()
	if r.family == unix.NFPROTO_INET {
		names = slices.DeleteFunc(names, func(name string) bool { return name == firewall.TableName })
	}
	return len(names) == 0, err
}

// listTables returns the names of the tables of the reader's family.
func (r *reader) listTables() (names []string, err error) {
	replies, err := r.get(unix.NFT_MSG_GETTABLE, netlink.Dump)
	if err != nil {
		return nil, fmt.Errorf("listing tables: %w", err)
	}
	replies = slices.DeleteFunc(replies, func(m netlink.Message) bool { return len(m.Data) < 4 || m.Data[0] != r.family })
	names, err = decodeAll(replies, func(name *string, ad *netlink.AttributeDecoder) {
		if ad.Type() == unix.NFTA_TABLE_NAME {
			*name = ad.String()
		}
	})
	return names, wrap(err, "listing tables")
}

func (sc *scope) decodeChain(m netlink.Message, family byte) (table string, c coexist.Chain, err error) {
	hooks, ok := sc.hooks[family]
	if !ok {
		hooks = sc.hooks[0]
	}
	kind := ""
	err = decode(m, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case unix.NFTA_CHAIN_TABLE:
			table = ad.String()
		case unix.NFTA_CHAIN_NAME:
			c.Name = ad.String()
		case unix.NFTA_CHAIN_TYPE:
			kind = ad.String()
		case unix.NFTA_CHAIN_POLICY:
			const drop = 0 // NF_DROP
			c.Drop = ad.Uint32() == drop
		case unix.NFTA_CHAIN_HOOK:
			each(ad, func(ad *netlink.AttributeDecoder) {
				switch ad.Type() {
				case unix.NFTA_HOOK_HOOKNUM:
					c.Hook = hooks[ad.Uint32()]
				case unix.NFTA_HOOK_PRIORITY:
					c.Priority = int32(ad.Uint32())
				case unix.NFTA_HOOK_DEV:
					c.Devices = []string{ad.String()}
				case hookDevs:
					c.Devices = nil
					each(ad, func(ad *netlink.AttributeDecoder) { c.Devices = append(c.Devices, ad.String()) })
				}
			})
		}
	})
	if !slices.Contains(sc.kinds, kind) {
		c.Hook = ""
	}
	return table, c, err
}

// hookDevs is NFTA_HOOK_DEVS: the names of all devices of a chain.
const hookDevs = 4

// surveyTable reads a table's flags and the rules of its chains.
func (r *reader) surveyTable(t *coexist.Table, sc *scope) error {
	replies, err := r.get(unix.NFT_MSG_GETTABLE, 0, r.table)
	for _, m := range replies {
		err = decode(m, func(ad *netlink.AttributeDecoder) {
			if ad.Type() == unix.NFTA_TABLE_FLAGS {
				const owner = 2 // NFT_TABLE_F_OWNER
				t.Owned = ad.Uint32()&owner != 0
			}
		})
	}
	if err != nil {
		return fmt.Errorf("reading table %q: %w", r.table, err)
	}
	index := map[string]int{}
	for i := range t.Chains {
		index[t.Chains[i].Name] = i
	}
	replies, err = r.get(unix.NFT_MSG_GETRULE, netlink.Dump, r.table)
	if err != nil {
		return fmt.Errorf("reading the rules of table %q: %w", r.table, err)
	}
	sets := setReader{reader: r, scope: sc}
	for _, m := range replies {
		chain, rule, err := decodeRule(m, r.family, &sets)
		if err != nil {
			return fmt.Errorf("reading the rules of table %q: %w", r.table, err)
		}
		if i, ok := index[chain]; ok {
			t.Chains[i].Rules = append(t.Chains[i].Rules, rule)
		}
	}
	return nil
}

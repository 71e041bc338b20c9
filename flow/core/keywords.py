"""Words that cannot name a module or a function: keywords of the languages we emit, and cells of the parts."""

RESERVED = frozenset(
    """
    always and assign automatic begin bit break buf bufif0 bufif1 byte case casex casez cell class cmos config
    continue deassign default defparam design disable do edge else end endcase endconfig endfunction endgenerate
    endmodule endprimitive endspecify endtable endtask enum event export extends final for force forever fork
    function generate genvar global highz0 highz1 if ifnone import incdir include initial inout input instance int
    integer interface join large let liblist library localparam logic longint macromodule medium module nand
    negedge new nmos nor noshowcancelled not notif0 notif1 null or output package parameter pmos posedge primitive
    priority program property pull0 pull1 pulldown pullup pulsestyle_ondetect pulsestyle_onevent rcmos real
    realtime reg release repeat return rnmos rpmos rtran rtranif0 rtranif1 scalared sequence shortint
    showcancelled signed small specify specparam string strong0 strong1 struct supply0 supply1 table task this
    time tran tranif0 tranif1 tri tri0 tri1 triand trior trireg type typedef union unique unsigned use uwire var
    vectored virtual void wait wand weak0 weak1 while wire with within wor xnor xor
    """.split()
)

# HLS tools write VHDL beside Verilog. Small letters; VHDL does not tell cases apart.
VHDL = frozenset(
    """
    abs access after alias all and architecture array assert attribute begin block body buffer bus case component
    configuration constant context cover default disconnect downto else elsif end entity exit fairness file for force
    function generate generic group guarded if impure in inertial inout is label library linkage literal loop map mod
    nand new next nor not null of on open or others out package parameter port postponed procedure process property
    protected pure range record register reject release rem report restrict return rol ror select sequence severity
    shared signal sla sll sra srl strong subtype then to transport type unaffected units until use variable vmode
    vprop vunit wait when while with xnor xor
    """.split()
)

# Of C++, and namespaces and words of hls4ml's.
CPP = frozenset(
    """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t class compl const
    const_cast constexpr continue decltype default delete do double dynamic_cast else enum explicit export extern
    false float for friend goto if inline int long main mutable namespace new noexcept not not_eq nullptr operator or
    or_eq private protected public register reinterpret_cast return short signed sizeof static static_assert
    static_cast struct switch template this thread_local throw true try typedef typeid typename union unsigned using
    virtual void volatile wchar_t while xor xor_eq std nnet nmp hls input
    """.split()
)

# What C and C++ headers, hls4ml's project and our bench declare at file scope, where a top function of that name would
# not compile or would hide it.
CPP_NAMES = frozenset(
    """
    ALL_OP_REL_WITH_INT BIAS BIG_ENDIAN BIT_WIDTH_UPPER_LIMIT BUFSIZ BYTE_ORDER CARRIER COLUMNS CSIGNAL DIR DIV_ROUNDUP
    EOF FILE FILENAME_MAX FOPEN_MAX INFINITY INLINE INPUTS LITTLE_ENDIAN MAX MAXFLOAT MAX_MODE MB_CUR_MAX MIN NAN NDEBUG
    NFDBITS NMP_BATCH NMP_WEIGHTS NULL N_COLUMNS N_IN N_OUT PDP_ENDIAN PRAGMA_DATA_PACK P_tmpdir RAND_MAX RTL_SIM
    STRINGIFY TMP_MAX WEIGHTS_DIR WEOF accum_t alloca assert bias_t blkcnt_t blksize_t bulk caddr_t check clock_t
    clockid_t column cookie_io_functions_t cpu_set_t daddr_t data daylight dev_t div_t double_t element environ errno
    error_t fd_set femode_t fenv_t fexcept_t float_t fpos_t fsid_t gid_t id_t ino_t input_t intmax_t intptr_t key_t
    ldiv_t linux lldiv_t load locale_t loff_t mantissas max_align_t mbstate_t mode_t model_default_t network_input
    nlink_t nullptr_t off64_t off_t offsetof optarg opterr optind optopt pid_t ptrdiff_t quad_t read_row register_t
    result_t run_layers run_top self_check sigset_t signgam size_t ssize_t stderr stdin stdout store suseconds_t
    time_t timer_t timezone tzname u_char u_int u_long u_quad_t u_short uid_t uint uintmax_t uintptr_t
    ulong unix useconds_t ushort va_arg va_copy va_end va_list va_start value_t wctrans_t wctype_t weight_t wint_t
    """.split()
)

# Cells that Yosys knows of Xilinx parts: a module of that name would take a cell's place.
PRIMITIVES = frozenset(
    """
    AND2B1L BITSLICE_CONTROL BSCANE2 BSCAN_SPARTAN3 BSCAN_SPARTAN3A BSCAN_SPARTAN6 BSCAN_VIRTEX4 BSCAN_VIRTEX5
    BSCAN_VIRTEX6 BUFG BUFGCE BUFGCE_1 BUFGCE_DIV BUFGCTRL BUFGMUX BUFGMUX_1 BUFGMUX_CTRL BUFGMUX_VIRTEX4 BUFG_GT
    BUFG_GT_SYNC BUFG_PS BUFH BUFHCE BUFIO BUFIO2 BUFIO2FB BUFIO2_2CLK BUFIODQS BUFMR BUFMRCE BUFPLL BUFPLL_MCB BUFR
    BUFT CAPTUREE2 CAPTURE_SPARTAN3 CAPTURE_SPARTAN3A CAPTURE_VIRTEX4 CAPTURE_VIRTEX5 CAPTURE_VIRTEX6 CARRY4 CARRY8
    CFGLUT5 CMAC CMACE4 CRC32 CRC64 DCIRESET DCM DCM_ADV DCM_BASE DCM_CLKGEN DCM_PS DCM_SP DNA_PORT DNA_PORTE2 DSP48
    DSP48A DSP48A1 DSP48E DSP48E1 DSP48E2 EFUSE_USR EMAC FDCE FDCE_1 FDCPE FDCPE_1 FDDRCPE FDDRRSE FDPE FDPE_1 FDRE
    FDRE_1 FDRSE FDRSE_1 FDSE FDSE_1 FE FIFO16 FIFO18 FIFO18E1 FIFO18E2 FIFO18_36 FIFO36 FIFO36E1 FIFO36E2 FIFO36_72
    FRAME_ECCE2 FRAME_ECCE3 FRAME_ECCE4 FRAME_ECC_VIRTEX4 FRAME_ECC_VIRTEX5 FRAME_ECC_VIRTEX6 GND GT11CLK GT11CLK_MGT
    GT11_CUSTOM GT11_DUAL GTHE1_QUAD GTHE2_CHANNEL GTHE2_COMMON GTHE3_CHANNEL GTHE3_COMMON GTHE4_CHANNEL GTHE4_COMMON
    GTM_DUAL GTPA1_DUAL GTPE2_CHANNEL GTPE2_COMMON GTP_DUAL GTXE1 GTXE2_CHANNEL GTXE2_COMMON GTX_DUAL GTYE3_CHANNEL
    GTYE3_COMMON GTYE4_CHANNEL GTYE4_COMMON HARD_SYNC HBM_ONE_STACK_INTF HBM_REF_CLK HBM_SNGLBLI_INTF_APB
    HBM_SNGLBLI_INTF_AXI HBM_TWO_STACK_INTF HPIO_VREF HSADC HSDAC IBUF IBUFDS IBUFDSE3 IBUFDS_DIFF_OUT
    IBUFDS_DIFF_OUT_IBUFDISABLE IBUFDS_DIFF_OUT_INTERMDISABLE IBUFDS_DLY_ADJ IBUFDS_DPHY IBUFDS_GTE2 IBUFDS_GTE3
    IBUFDS_GTE4 IBUFDS_GTHE1 IBUFDS_GTM IBUFDS_GTXE1 IBUFDS_IBUFDISABLE IBUFDS_INTERMDISABLE IBUFE3 IBUFG IBUFGDS
    IBUFGDS_DIFF_OUT IBUF_ANALOG IBUF_DLY_ADJ IBUF_IBUFDISABLE IBUF_INTERMDISABLE ICAPE2 ICAPE3 ICAP_SPARTAN3A
    ICAP_SPARTAN6 ICAP_VIRTEX4 ICAP_VIRTEX5 ICAP_VIRTEX6 IDDR IDDR2 IDDRE1 IDDR_2CLK IDELAY IDELAYCTRL IDELAYE2
    IDELAYE3 IFDDRCPE IFDDRRSE ILKN ILKNE4 INV IN_FIFO IOBUF IOBUFDS IOBUFDSE3 IOBUFDS_DCIEN IOBUFDS_DIFF_OUT
    IOBUFDS_DIFF_OUT_DCIEN IOBUFDS_DIFF_OUT_INTERMDISABLE IOBUFDS_INTERMDISABLE IOBUFE3 IOBUF_DCIEN
    IOBUF_INTERMDISABLE IODELAY IODELAY2 IODELAYE1 IODRP2 IODRP2_MCB ISERDES ISERDES2 ISERDESE1 ISERDESE2 ISERDESE3
    ISERDES_NODELAY KEEPER KEY_CLEAR LDCE LDCPE LDPE LUT1 LUT2 LUT3 LUT4 LUT5 LUT6 LUT6_2 MASTER_JTAG MCB MMCME2_ADV
    MMCME2_BASE MMCME3_ADV MMCME3_BASE MMCME4_ADV MMCME4_BASE MMCM_ADV MMCM_BASE MULT18X18 MULT18X18S MULT18X18SIO
    MULT_AND MUXCY MUXF5 MUXF6 MUXF7 MUXF8 MUXF9 OBUF OBUFDS OBUFDS_DPHY OBUFDS_GTE3 OBUFDS_GTE3_ADV OBUFDS_GTE4
    OBUFDS_GTE4_ADV OBUFDS_GTM OBUFDS_GTM_ADV OBUFT OBUFTDS ODDR ODDR2 ODDRE1 ODELAYE2 ODELAYE3 OFDDRCPE OFDDRRSE
    OFDDRTCPE OFDDRTRSE OR2L ORCY OSERDES OSERDES2 OSERDESE1 OSERDESE2 OSERDESE3 OUT_FIFO PCIE40E4 PCIE4CE4 PCIE_2_0
    PCIE_2_1 PCIE_3_0 PCIE_3_1 PCIE_A1 PCIE_EP PHASER_IN PHASER_IN_PHY PHASER_OUT PHASER_OUT_PHY PHASER_REF
    PHY_CONTROL PLLE2_ADV PLLE2_BASE PLLE3_ADV PLLE3_BASE PLLE4_ADV PLLE4_BASE PLL_ADV PLL_BASE PMCD POST_CRC_INTERNAL
    PPC405_ADV PPC440 PS7 PS8 PULLDOWN PULLUP RAM128X1D RAM128X1S RAM128X1S_1 RAM16X1D RAM16X1D_1 RAM16X1S RAM16X1S_1
    RAM16X2S RAM16X4S RAM16X8S RAM256X1D RAM256X1S RAM32M RAM32M16 RAM32X16DR8 RAM32X1D RAM32X1D_1 RAM32X1S RAM32X1S_1
    RAM32X2S RAM32X4S RAM32X8S RAM512X1S RAM64M RAM64M8 RAM64X1D RAM64X1D_1 RAM64X1S RAM64X1S_1 RAM64X2S RAM64X8SW
    RAMB16 RAMB16BWER RAMB16BWE_S18 RAMB16BWE_S18_S18 RAMB16BWE_S18_S9 RAMB16BWE_S36 RAMB16BWE_S36_S18
    RAMB16BWE_S36_S36 RAMB16BWE_S36_S9 RAMB16_S1 RAMB16_S18 RAMB16_S18_S18 RAMB16_S18_S36 RAMB16_S1_S1 RAMB16_S1_S18
    RAMB16_S1_S2 RAMB16_S1_S36 RAMB16_S1_S4 RAMB16_S1_S9 RAMB16_S2 RAMB16_S2_S18 RAMB16_S2_S2 RAMB16_S2_S36
    RAMB16_S2_S4 RAMB16_S2_S9 RAMB16_S36 RAMB16_S36_S36 RAMB16_S4 RAMB16_S4_S18 RAMB16_S4_S36 RAMB16_S4_S4
    RAMB16_S4_S9 RAMB16_S9 RAMB16_S9_S18 RAMB16_S9_S36 RAMB16_S9_S9 RAMB18 RAMB18E1 RAMB18E2 RAMB18SDP RAMB32_S64_ECC
    RAMB36 RAMB36E1 RAMB36E2 RAMB36SDP RAMB4_S1 RAMB4_S16 RAMB4_S16_S16 RAMB4_S1_S1 RAMB4_S1_S16 RAMB4_S1_S2
    RAMB4_S1_S4 RAMB4_S1_S8 RAMB4_S2 RAMB4_S2_S16 RAMB4_S2_S2 RAMB4_S2_S4 RAMB4_S2_S8 RAMB4_S4 RAMB4_S4_S16
    RAMB4_S4_S4 RAMB4_S4_S8 RAMB4_S8 RAMB4_S8_S16 RAMB4_S8_S8 RAMB8BWER RFADC RFDAC RIU_OR ROM128X1 ROM16X1 ROM256X1
    ROM32X1 ROM64X1 RXTX_BITSLICE RX_BITSLICE SPI_ACCESS SRL16 SRL16E SRLC16 SRLC16E SRLC32E STARTUPE2 STARTUPE3
    STARTUP_SPARTAN3 STARTUP_SPARTAN3A STARTUP_SPARTAN3E STARTUP_SPARTAN6 STARTUP_VIRTEX4 STARTUP_VIRTEX5
    STARTUP_VIRTEX6 SUSPEND_SYNC SYSMON SYSMONE1 SYSMONE4 TEMAC TEMAC_SINGLE TX_BITSLICE TX_BITSLICE_TRI URAM288
    URAM288_BASE USR_ACCESSE2 USR_ACCESS_VIRTEX4 USR_ACCESS_VIRTEX5 USR_ACCESS_VIRTEX6 VCC VCU XADC XORCY
    """.split()
)
